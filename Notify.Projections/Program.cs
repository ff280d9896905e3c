using System.Globalization;
using Marten;
using Notify.Delivery;
using Notify.Delivery.Erasures;
using Notify.Delivery.Hosting;
using Notify.Delivery.Messaging;
using Notify.Delivery.Monitoring;
using Notify.Delivery.Privacy;
using Notify.Delivery.Retention;
using Notify.Delivery.Schema;
using Notify.Infrastructure.Hosting;
using Notify.Infrastructure.Postgres;
using Notify.Projections;
using Notify.Projections.Lag;
using Notify.Projections.Rebuilding;
using Notify.Projections.Replay;
using Notify.Projections.Verification;
using Npgsql;
using Wolverine;
using Wolverine.Marten;

const string Name = "notify-projections";
var command = args.FirstOrDefault(a => !a.StartsWith('-'));
if (command == "health")
    return await HealthCommand.RunAsync(Name, args, "http://127.0.0.1:5082");
var builder = NotifyHost.CreateBuilder(Name, "http://127.0.0.1:5082", args, out var faults);
if (
    command
    is not (
        null
        or "migrate"
        or "verify"
        or "replay"
        or "rebuild"
        or "rewrap-keys"
        or "rotate-keys"
        or "rotate-data-keys"
        or "rotate-pepper"
        or "erasures"
    )
)
{
    faults.Add(
        $"\"{command}\" is not a command; there are migrate, verify, replay, rebuild, rewrap-keys, rotate-keys, rotate-data-keys, "
            + "rotate-pepper, erasures and health"
    );
}

var alerts = builder.Configuration.ReadAlertRules(faults);
var retention = RetentionSettings.Read(builder.Configuration, faults);
var rotation = KeyRotationSettings.Read(builder.Configuration, faults);
foreach (var key in new[] { "Notify:Verification:Interval" })
{
    if (
        builder.Configuration[key] is { } text
        && !(TimeSpan.TryParse(text, CultureInfo.InvariantCulture, out var span) && span >= TimeSpan.Zero)
    )
        faults.Add($"{key} is \"{text}\"; give a time such as 01:00:00, or 00:00:00 for never");
}

if (faults.Report())
    return NotifyHost.WrongConfiguration;

var limits = command is null ? new ConnectionLimits(Name, Guid.NewGuid(), builder.Configuration.HostTimeout()) : null;
var address = command is "migrate" or "rebuild" or "erasures" ? builder.Configuration.OwnersDatabase() : builder.Configuration.Database();
var store = builder.Services.AddNotifyStore(address, mayCreate: command == "migrate", limits: limits, readModels: ReadModels.Configure);
if (command is null or "migrate")
{
    // Wolverine's leader hands the daemon's shards to the nodes there are: one node or several, each shard runs once.
    store.IntegrateWithWolverine(m =>
    {
        m.MessageStorageSchemaName = "projections_messages";
        m.TransportSchemaName = NotifyBus.QueueSchema;
        m.UseWolverineManagedEventSubscriptionDistribution = true;
    });
    builder.Host.UseWolverine(o =>
    {
        NotifyBus.Configure(o, Name, builder.Configuration, mayCreate: command == "migrate");
        o.ApplicationAssembly = typeof(ReadModels).Assembly;
    });
}

if (command is null)
{
    builder.Services.AddSingleton<QueueBacklogReader>().AddHostedService<QueueBacklogMetrics>().AddHostedService<ProjectionLag>();
    builder
        .Services.AddSingleton(alerts)
        .AddDatabaseMonitoring()
        .AddSingleton<IFailoverHandler, ReadModelFailover>()
        .AddHostedService<ReadModelMonitor>()
        .AddAlerts()
        .AddHostedService<VerificationService>();
    builder.Services.AddSingleton(retention).AddHostedService<RetentionService>().AddHostedService<KeyRotationService>();
    builder.Services.AddStaleLeaderMonitor("projections_messages", builder.Configuration);
}

builder.Services.AddErasures(builder.Configuration).AddSingleton(rotation).AddSingleton<KeyRotation>();
builder.Services.AddSingleton(s => new Verifier(
    s.GetRequiredService<IDocumentStore>(),
    s.GetRequiredService<NpgsqlDataSource>(),
    s.GetRequiredService<TimeProvider>(),
    new VerificationLimits()
));

var app = builder.Build();
var database = app.Services.GetRequiredService<NpgsqlDataSource>();
switch (command)
{
    case "migrate":
        return await NotifyHost.RunAsync(
            Name,
            async () =>
            {
                var code = await Migrations.ApplyStoreAsync(app.Services, Name);
                if (code == 0)
                    code = await Migrations.ApplyMessagingAsync(app);
                if (code == 0)
                    code = await Migrations.ApplyTransportAsync(app, Name);
                return code != 0 ? code : await Migrations.ApplyRolesAsync(app, Name);
            }
        );
    case "verify":
        var (scope, unknown) = VerifyCommand.Parse([.. args.Skip(1)]);
        if (scope is null)
            return NotifyHost.Fail(Name, unknown!);
        return await NotifyHost.RunWithSecretsAsync(
            app.Services,
            Name,
            () =>
                VerifyCommand.RunAsync(
                    app.Services.GetRequiredService<Verifier>(),
                    database,
                    app.Services.GetRequiredService<TimeProvider>(),
                    scope,
                    Console.Out
                )
        );
    case "replay":
        var (options, fault) = ReplayOptions.Parse([.. args.Skip(1)]);
        if (options is null)
            return NotifyHost.Fail(Name, fault!);
        return await NotifyHost.RunWithSecretsAsync(
            app.Services,
            Name,
            () =>
                new Replayer(
                    app.Services.GetRequiredService<IDocumentStore>(),
                    database,
                    app.Services.GetRequiredService<SubjectKeys>(),
                    app.Services.GetRequiredService<UserReferences>(),
                    app.Services.GetRequiredService<TimeProvider>(),
                    Console.Out
                ).RunAsync(Name, options)
        );
    case "rebuild":
        return await NotifyHost.RunWithSecretsAsync(
            app.Services,
            Name,
            () => RebuildCommand.RunAsync(app.Services, args.Where(a => !a.StartsWith('-')).Skip(1).ToArray(), Console.Out)
        );
    case "rewrap-keys":
        return await NotifyHost.RunAsync(
            Name,
            async () =>
            {
                var hostKeys = app.Services.GetRequiredService<HostKeys>();
                if (await hostKeys.JoinAsync() is { } wrong)
                    return NotifyHost.FailConfiguration(Name, wrong);
                try
                {
                    Console.WriteLine(
                        $"{await app.Services.GetRequiredService<SubjectKeys>().RewrapAsync(database, default)} keys wrapped anew."
                    );
                    return await hostKeys.RetireAsync(Console.Out);
                }
                finally
                {
                    await hostKeys.LeaveAsync();
                }
            }
        );
    case "rotate-data-keys":
        var (renewal, mistake) = RotateDataKeysOptions.Parse([.. args.Skip(1)]);
        if (renewal is null)
            return NotifyHost.Fail(Name, mistake!);
        return await NotifyHost.RunAsHostAsync(
            app.Services,
            Name,
            async () =>
            {
                var users = app.Services.GetRequiredService<UserReferences>();
                var subjects = renewal.Subjects is null ? null : await users.FindStreamsAsync(renewal.Subjects, default);
                return await new RotateDataKeys(
                    app.Services.GetRequiredService<IDocumentStore>(),
                    database,
                    app.Services.GetRequiredService<MasterKeyRing>(),
                    app.Services.GetRequiredService<TimeProvider>(),
                    Console.Out
                ).RunAsync(renewal with { Subjects = subjects }, default);
            }
        );
    case "rotate-pepper":
        var (renewing, slip) = RotatePepperOptions.Parse([.. args.Skip(1)]);
        if (renewing is null)
            return NotifyHost.Fail(Name, slip!);
        return await NotifyHost.RunAsHostAsync(
            app.Services,
            Name,
            () =>
                new RotatePepper(
                    app.Services.GetRequiredService<IDocumentStore>(),
                    database,
                    app.Services.GetRequiredService<MasterKeyRing>(),
                    app.Services.GetRequiredService<SubjectKeys>(),
                    app.Services.GetRequiredService<HostKeys>(),
                    app.Services.GetRequiredService<TimeProvider>(),
                    Console.Out
                ).RunAsync(renewing, default)
        );
    case "rotate-keys":
        return await NotifyHost.RunAsHostAsync(
            app.Services,
            Name,
            () =>
                new RotateKeysCommand(
                    database,
                    app.Services.GetRequiredService<KeyRotation>(),
                    app.Services.GetRequiredService<MasterKeyRing>(),
                    app.Services.GetRequiredService<SubjectKeys>(),
                    app.Services.GetRequiredService<HostKeys>(),
                    app.Services.GetRequiredService<TimeProvider>(),
                    Console.Out
                ).RunAsync()
        );
    case "erasures":
        return await NotifyHost.RunWithSecretsAsync(
            app.Services,
            Name,
            () =>
                new ErasuresCommand(
                    app.Services.GetRequiredService<IDocumentStore>(),
                    database,
                    app.Services.GetRequiredService<ErasureLog>(),
                    Name,
                    app.Services.GetRequiredService<TimeProvider>()
                ).RunAsync(
                    [.. args.Skip(1).Where(a => !a.StartsWith("--", StringComparison.Ordinal))],
                    Console.In,
                    Console.Out,
                    Console.Error
                )
        );
    default:
        app.UseEdge();
        app.MapOperations();
        return await NotifyHost.RunAsync(app, Name);
}
