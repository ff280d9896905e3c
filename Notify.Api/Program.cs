using System.Text.Json.Serialization;
using JasperFx;
using Notify.Api.Access;
using Notify.Api.Broadcasts;
using Notify.Api.Categories;
using Notify.Api.Clients;
using Notify.Api.ClientTokens;
using Notify.Api.Contract;
using Notify.Api.Notifications;
using Notify.Api.Operations;
using Notify.Api.Recipients;
using Notify.Api.Reference;
using Notify.Api.Suppressions;
using Notify.Api.Templates;
using Notify.Api.Topics;
using Notify.Api.Tracking;
using Notify.Delivery;
using Notify.Delivery.Broadcasts;
using Notify.Delivery.Erasures;
using Notify.Delivery.Hosting;
using Notify.Delivery.Messaging;
using Notify.Delivery.Monitoring;
using Notify.Delivery.Planning;
using Notify.Delivery.Privacy;
using Notify.Delivery.Schema;
using Notify.Delivery.Templates;
using Notify.Delivery.Tracking;
using Notify.Domain.Content;
using Notify.Infrastructure.Hosting;
using Notify.Infrastructure.Json;
using Notify.Infrastructure.Networking;
using Notify.Infrastructure.Postgres;
using Notify.Projections;
using Wolverine;
using Wolverine.Marten;

const string Name = "notify-api";
var command = args.FirstOrDefault(a => !a.StartsWith('-'));
if (command == "health")
    return await HealthCommand.RunAsync(Name, args, "http://127.0.0.1:5080");
if (command == "templates")
    return await TemplatesCommand.RunAsync(args[1..]);
if (command == "import")
    return await ImportCommand.RunAsync(args[1..]);
var builder = NotifyHost.CreateBuilder(Name, "http://127.0.0.1:5080", args, out var faults);
if (command is not (null or "migrate" or "codegen" or "create-client" or "routes"))
    faults.Add($"\"{command}\" is not a command; there are migrate, codegen, create-client, routes, templates, import and health");
var acceptLimit = builder.Configuration.GetSection("Notify:AcceptLimit").Read<AcceptLimitOptions>(faults);
acceptLimit.Check("Notify:AcceptLimit", faults);
var sms = builder.Configuration.GetSection("Notify:Sms").Read<SmsLimits>(faults) with
{
    PublicUrl = builder.Configuration.PublicUrl().AbsoluteUri.TrimEnd('/'),
};
sms.Check("Notify:Sms", faults);
var accept = builder.Configuration.GetSection("Notify:Accept").Read<AcceptOptions>(faults);
accept.Check("Notify:Accept", faults);
var requestLimit = builder.Configuration.GetSection("Notify:RequestLimit").Read<RequestLimitOptions>(faults);
requestLimit.Check("Notify:RequestLimit", faults);
var publicLimit = AddressLimit.Read(builder.Configuration, PublicLimit.Section, PublicLimit.Default, faults);
var appOrigins = AppOrigins.Read(builder.Configuration, faults);
var sandbox = SandboxSettings.Read(builder.Configuration, faults);
if (faults.Report())
    return NotifyHost.WrongConfiguration;

// RequestBody has limits of its own and answers as soon as one is exceeded. The rest of the caller's body is then read and
// discarded, up to this limit, so that the caller receives the answer and no broken connection.
builder.WebHost.ConfigureKestrel(k => k.Limits.MaxRequestBodySize = 8 * RequestBody.MaxBatchBytes);
var limits = command is null ? new ConnectionLimits(Name, Guid.NewGuid(), builder.Configuration.HostTimeout()) : null;
builder
    .Services.AddNotifyStore(
        command == "migrate" ? builder.Configuration.OwnersDatabase() : builder.Configuration.Database(),
        mayCreate: command == "migrate",
        limits: limits,
        reads: command is null,
        readModels: ReadModels.Configure
    )
    .IntegrateWithWolverine(m =>
    {
        m.MessageStorageSchemaName = "api_messages";
        m.TransportSchemaName = NotifyBus.QueueSchema;
    });
builder.Host.UseWolverine(o =>
{
    NotifyBus.Configure(o, Name, builder.Configuration, mayCreate: command == "migrate");
    o.ApplicationAssembly = typeof(Acceptance).Assembly;
});
builder.Services.AddSingleton(sms).AddSingleton<DeliveryTokens>().AddSingleton<Unsubscribing>().AddSingleton<Engaging>();
builder.Services.AddSingleton(acceptLimit).AddSingleton<AcceptLimit>().AddSingleton<ApiHosts>();
builder
    .Services.AddSingleton<NotificationIntake>()
    .AddSingleton<AudienceDetails>()
    .AddSingleton<Acceptance>()
    .AddSingleton<TemplateBook>()
    .AddSingleton<TemplateRequests>()
    .AddSingleton<TokenKeys>()
    .AddSingleton<Callers>();
builder
    .Services.AddSingleton(requestLimit)
    .AddSingleton<RequestLimit>()
    .AddSingleton<DeviceChallenge>()
    .AddSingleton<AppRules>()
    .AddSingleton<Refusals>()
    .AddSingleton<AccessLog>()
    .AddSingleton<AccessControl>();
builder
    .Services.AddSingleton<SecretUses>()
    .AddSingleton<SecretHashes>()
    .AddSingleton<KeptAnswers>()
    .AddSingleton<IdempotentRequests>()
    .AddSingleton<SecretRotator>();
builder.Services.AddErasures(builder.Configuration).AddSingleton<QueueActivity>();
builder
    .Services.AddSingleton(s => new QueueBacklogReader(s.GetRequiredService<ReadDatabase>().Source, s.GetRequiredService<TimeProvider>()))
    .AddSingleton(s => new ProviderHealthReader(s.GetRequiredService<ReadDatabase>().Source, s.GetRequiredService<TimeProvider>()));

// What Dispatch may call, a device may be registered with.
builder
    .Services.AddSingleton(sandbox)
    .AddSingleton(new OutboundGuard(sandbox.AllowsPrivateNetworks(builder.Configuration), inside: sandbox.Url))
    .AddSingleton<RegisterDeviceValidator>()
    .AddSingleton<ImportUserValidator>()
    .AddSingleton<RecipientImport>()
    .AddSingleton<RequestNotificationValidator>()
    .AddSingleton<RequestBroadcastValidator>();
builder.Services.AddSingleton(accept).AddSingleton<BodyBudget>();
builder.Services.AddHealthChecks().AddCheck<AcceptanceHealth>("acceptance", tags: ["ready"]);
builder.Services.AddExceptionHandler<ProblemHandler>().AddCors(appOrigins.Configure);
builder.Services.ConfigureHttpJsonOptions(o => NotifyJson.Configure(o.SerializerOptions).NumberHandling = JsonNumberHandling.Strict);
builder.Services.AddOpenApi(ReferenceDocument.Name, ApiReference.Configure).AddSingleton<ReferenceDocument>().AddPublicLimit(publicLimit);
if (command is null)
    builder
        .Services.AddDatabaseMonitoring()
        .AddHostedService(s => s.GetRequiredService<QueueActivity>())
        .AddHostedService(s => s.GetRequiredService<ApiHosts>())
        .AddHostedService(s => s.GetRequiredService<SecretUses>())
        .AddHostedService(s => s.GetRequiredService<SecretHashes>())
        .AddOutboxSweep("api_messages")
        .AddStaleLeaderMonitor("api_messages", builder.Configuration);

var app = builder.Build();
switch (command)
{
    case "migrate":
        return await NotifyHost.RunAsync(Name, () => Migrations.ApplyMessagingAsync(app, Name));
    case "codegen":
        return await app.RunJasperFxCommands(args);
    case "create-client":
        return await NotifyHost.RunWithSecretsAsync(
            app.Services,
            Name,
            () => CreateClientCommand.RunAsync(app.Services, app.Configuration)
        );
}

var edge = app.Services.GetRequiredService<HttpEdge>();
edge.Use(app);
app.UseExceptionHandler(_ => { });
app.UseStatusCodePages(async c =>
{
    var status = c.HttpContext.Response.StatusCode;
    await Problem
        .Of(
            status,
            status == 404 ? "no_such_path"
                : status == 405 ? "method_not_allowed"
                : "bad_request",
            status == 404
                ? "There is nothing at this address. See /openapi/v1.json for what there is."
                : "The request cannot be answered like this. See /openapi/v1.json for how to ask."
        )
        .ExecuteAsync(c.HttpContext);
});
edge.UseManagement(app);
app.UseCors();
app.UseRateLimiter();
app.UseWriteDeadline();
app.Use((context, next) => RequestQuery.Check(context.Request) is { } problem ? problem.ExecuteAsync(context) : next(context));
app.MapOperations();
ApiReference.Map(app);
RequestNotificationEndpoint.Map(app);
RequestNotificationsEndpoint.Map(app);
GetNotification.Map(app);
GetReceipts.Map(app);
ListNotifications.Map(app);
CancelNotification.Map(app);
RescheduleEndpoint.Map(app);
AcknowledgeDeliveryEndpoint.Map(app);
Users.Map(app);
ErasePersonEndpoint.Map(app);
ImportUsers.Map(app);
Devices.Map(app);
Preferences.Map(app);
CreateClientTokenEndpoint.Map(app);
CategoryEndpoints.Map(app);
TopicEndpoints.Map(app);
TopicMembers.Map(app);
RequestBroadcastEndpoint.Map(app);
BroadcastEndpoints.Map(app);
SuppressAddressEndpoint.Map(app);
SuppressionEndpoints.Map(app);
AddressPreferences.Map(app);
Templates.Map(app);
PutTemplateEndpoint.Map(app);
PreviewTemplateEndpoint.Map(app);
TestTemplateEndpoint.Map(app);
Layouts.Map(app);
Queues.Map(app);
Providers.Map(app);
Alerts.Map(app);
Verifications.Map(app);
DeadLetters.Map(app);
GetAnalytics.Map(app);
ListAccesses.Map(app);
ClientEndpoints.Map(app);
UnsubscribeEndpoints.Map(app);
TrackingEndpoints.Map(app);
if (sandbox.TakesLive && command is null)
    app.Logger.LogWarning(
        "{Switch} is on: live clients' sends go to the sandbox on lanes without a provider. Switch it off before you send for real.",
        SandboxSettings.Switch
    );
return command == "routes"
    ? Routes.Print(app, Console.Out)
    : await NotifyHost.RunAsync(app, Name, () => NotifyHost.CheckTransportAsync(app, mayBeAway: true));
