using JasperFx;
using Microsoft.Extensions.Options;
using Notify.Delivery;
using Notify.Delivery.Broadcasts;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.Digests;
using Notify.Delivery.Hosting;
using Notify.Delivery.Messaging;
using Notify.Delivery.Monitoring;
using Notify.Delivery.Planning;
using Notify.Delivery.Schema;
using Notify.Delivery.Telemetry;
using Notify.Delivery.Templates;
using Notify.Delivery.Tracking;
using Notify.Dispatch;
using Notify.Dispatch.Broadcasts;
using Notify.Dispatch.Dispatching;
using Notify.Dispatch.Due;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Receipts;
using Notify.Dispatch.Routing;
using Notify.Domain.Broadcasts;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Infrastructure.Hosting;
using Notify.Infrastructure.Postgres;
using Wolverine;
using Wolverine.Marten;

const string Name = "notify-dispatch";
var command = args.FirstOrDefault(a => !a.StartsWith('-'));
if (command == "health")
    return await HealthCommand.RunAsync(Name, args, "http://127.0.0.1:5081");
var builder = NotifyHost.CreateBuilder(Name, "http://127.0.0.1:5081", args, out var faults);
if (command is not (null or "migrate" or "codegen"))
    faults.Add($"\"{command}\" is not a command; there are migrate, codegen and health");

var configuration = builder.Configuration;
var providers = new ProviderRegistry();
var sandbox = command is null ? SandboxSettings.Read(configuration, faults) : new SandboxSettings(TakesLive: false, null);
IReadOnlySet<string> played = new HashSet<string>();
if (command is null)
{
    played = ProviderSources.Apply(configuration, sandbox, faults);
    ReceiptsUrl.GiveTo(configuration, faults);
    var routing = RouteSettings.Read(configuration.GetSection("Routing"), faults);
    Adapters.AddTo(providers, ClientMode.Live, configuration.GetSection("Providers"), routing, builder.Clock(), faults);
    Adapters.AddTo(providers, ClientMode.Test, configuration.GetSection("TestProviders"), routing, builder.Clock(), faults);
}

var retry = configuration.GetSection("Notify:Retry").Read<RetrySchedule>(faults);
if (retry.MaxAttempts < 1)
    faults.Add($"Notify:Retry:MaxAttempts is {retry.MaxAttempts}; give 1 or more");
foreach (
    var (name, delay) in new[]
    {
        (nameof(retry.BaseDelay), retry.BaseDelay),
        (nameof(retry.MaxDelay), retry.MaxDelay),
        (nameof(retry.AskAfter), retry.AskAfter),
        (nameof(retry.UnknownDeadline), retry.UnknownDeadline),
    }
)
{
    if (delay <= TimeSpan.Zero)
        faults.Add($"Notify:Retry:{name} is {delay}; give a time above zero");
}

var sms = configuration.GetSection("Notify:Sms").Read<SmsLimits>(faults) with
{
    PublicUrl = configuration.PublicUrl().AbsoluteUri.TrimEnd('/'),
};
sms.Check("Notify:Sms", faults);
var pace = configuration.GetSection("Notify:Broadcasts").Read<BroadcastPace>(faults);
pace.Check("Notify:Broadcasts", faults);
var alerts = configuration.ReadAlertRules(faults);
var failedReceipts = AddressLimit.Read(configuration, FailedReceipts.Section, FailedReceipts.Default, faults);
if (faults.Report())
    return NotifyHost.WrongConfiguration;

builder
    .Services.AddSingleton(Options.Create(retry))
    .AddSingleton(providers)
    .AddSingleton(sms)
    .AddSingleton(pace)
    .AddSingleton<NotificationIntake>()
    .AddSingleton<AudienceDetails>();
builder.Services.AddSingleton<DeliveryTokens>().AddSingleton<UnsubscribeLinks>().AddSingleton<TrackedLinks>();
var host = new HostIdentity();
builder
    .Services.AddSingleton(host)
    .AddSingleton(s => new HostLease(configuration.HostTimeout(), s.GetRequiredService<TimeProvider>()))
    .AddSingleton<FairTurns>()
    .AddSingleton<SlicePick>()
    .AddSingleton(new SliceWeights())
    .AddSingleton<TemplateBook>()
    .AddSingleton<StreamFaults>()
    .AddSingleton<DigestDue>()
    .AddSingleton<SliceClaim>()
    .AddSingleton<Settlement>()
    .AddSingleton<DeliveryDispatcher>();
builder.Services.AddSingleton<QueueActivity>().AddSingleton<ProviderActivity>().AddSingleton(alerts);
builder.Services.AddHealthChecks().AddCheck<OutcomeHealth>("outcomes", tags: ["ready"]);
builder
    .Services.AddSingleton<ReceiptJudgement>()
    .AddSingleton<ReceiptIntake>()
    .AddSingleton<ReceiptBudget>()
    .AddSingleton(new ReceiptSources(Adapters.Receipts))
    .AddSingleton(new FailedReceipts(failedReceipts));
if (command is null)
{
    // Registered before Wolverine, so stopped after it: the host signs off when its last message has been handled.
    builder.Services.AddHostedService<Takeover>();
    builder.Services.AddHostedService<ProviderStateKeeper>();
    builder.Services.AddHostedService(s => s.GetRequiredService<QueueActivity>());
    builder.Services.AddHostedService(s => s.GetRequiredService<ProviderActivity>());
    builder.Services.AddDatabaseMonitoring().AddSingleton<IFailoverHandler, AttemptFailover>().AddAlerts();
}

var limits = command is null ? new ConnectionLimits(Name, host.Id, configuration.HostTimeout()) : null;
builder
    .Services.AddNotifyStore(
        command == "migrate" ? configuration.OwnersDatabase() : configuration.Database(),
        mayCreate: command == "migrate",
        byIndex: true,
        limits
    )
    .IntegrateWithWolverine(m =>
    {
        m.MessageStorageSchemaName = "dispatch_messages";
        m.TransportSchemaName = NotifyBus.QueueSchema;
    });
builder.Host.UseWolverine(o => DispatchBus.Configure(o, configuration, mayCreate: command == "migrate"));
if (command is null)
    builder
        .Services.AddHostedService<DuePump>()
        .AddHostedService<ReadyDeliveryProcessor>()
        .AddHostedService<BroadcastExpansion>()
        .AddHostedService<WaitingReceipts>()
        .AddHostedService<CapSweep>()
        .AddOutboxSweep("dispatch_messages")
        .AddStaleLeaderMonitor("dispatch_messages", configuration);
if (command is null && configuration.Transport() == NotifyTransport.RabbitMq)
    builder.Services.AddHostedService<ListenerWatch>();

var app = builder.Build();
switch (command)
{
    case "migrate":
        return await NotifyHost.RunAsync(Name, () => Migrations.ApplyMessagingAsync(app, Name));
    case "codegen":
        return await app.RunJasperFxCommands(args);
    default:
        app.UseEdge();
        app.MapOperations();
        Telemetry.ObserveKeptOutcomes(() => app.Services.GetRequiredService<Settlement>().Kept);
        ReceiptEndpoints.Map(app);
        app.Services.GetRequiredService<ProviderActivity>()
            .Carries(
                providers
                    .Routes.Where(r => r.Mode == ClientMode.Live)
                    .SelectMany(r =>
                        r.Route.Members.Select(
                            (m, i) =>
                                new CarriedProvider(
                                    m.Provider.Name,
                                    r.Route.Lane,
                                    i + 1,
                                    m.Weight,
                                    played.Contains(m.Provider.Name),
                                    m.Provider.Apps
                                )
                        )
                    )
            );
        ProviderSources.Warn(app.Logger, sandbox, [.. Lanes.All.Where(lane => played.Any(name => Adapters.LaneOf(name) == lane))]);
        if (providers.NotCarried.ToList() is { Count: > 0 } lanes)
            app.Logger.LogWarning(
                "No provider is configured for {Lanes}; deliveries on them fail with {Reason}.",
                string.Join(", ", lanes).ToLowerInvariant(),
                Reasons.NoProvider
            );
        if (providers.RouteOf(Lane.Email, ClientMode.Live) is not null && !app.Services.GetRequiredService<UnsubscribeLinks>().AreUsable)
            app.Logger.LogWarning(
                "Emails leave without List-Unsubscribe: Notify:PublicUrl is {Url}; give an https address that recipients reach.",
                configuration.PublicUrl()
            );
        return await NotifyHost.RunAsync(app, Name, () => NotifyHost.CheckTransportAsync(app, mayBeAway: false));
}
