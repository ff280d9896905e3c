using Marten;
using Notify.Projections;
using Notify.Projections.Hosting;
using Notify.Projections.Privacy;
using Notify.Projections.QueueBacklog;
using Notify.Projections.Verification;
using Npgsql;
using Wolverine;
using Wolverine.Marten;

const string Name = "notify-projections";
var command = args.FirstOrDefault(a => !a.StartsWith('-'));
var builder = NotifyHost.CreateBuilder(Name, "http://127.0.0.1:5082", args, out var faults);
if (command is not (null or "migrate" or "verify" or "rewrap-keys")) faults.Add($"\"{command}\" is not a command; there are migrate, verify and rewrap-keys");
if (faults.Report()) return NotifyHost.WrongConfiguration;

var store = builder.Services.AddNotifyStore(builder.Configuration.Database(), mayCreate: command == "migrate");
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
        o.ApplicationAssembly = typeof(NotifyStore).Assembly;
    });
}

if (command is null)
{
    builder.Services.AddSingleton<QueueBacklogReader>().AddHostedService<QueueBacklogMetrics>();
}

var app = builder.Build();
switch (command)
{
    case "migrate":
        await Migrations.ApplyStoreAsync(app.Services);
        await Migrations.ApplyMessagingAsync(app);
        return 0;
    case "verify":
        return await Verifier.RunAsync(app.Services.GetRequiredService<IDocumentStore>(), app.Services.GetRequiredService<NpgsqlDataSource>(), Console.Out);
    case "rewrap-keys":
        Console.WriteLine($"{await app.Services.GetRequiredService<SubjectKeys>().RewrapAsync(app.Services.GetRequiredService<NpgsqlDataSource>(), default)} keys wrapped anew.");
        return 0;
    default:
        app.MapOperations();
        return await NotifyHost.RunAsync(app, Name);
}
