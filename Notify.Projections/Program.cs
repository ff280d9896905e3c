using Marten;
using JasperFx.Events.Daemon;
using Notify.Projections;
using Notify.Projections.Hosting;
using Notify.Projections.Privacy;
using Notify.Projections.QueueBacklog;
using Notify.Projections.Verification;
using Npgsql;

const string Name = "notify-projections";
var command = args.FirstOrDefault(a => !a.StartsWith('-'));
var builder = NotifyHost.CreateBuilder(Name, "http://127.0.0.1:5082", args, out var faults);
if (command is not (null or "migrate" or "verify" or "rewrap-keys")) faults.Add($"\"{command}\" is not a command; there are migrate, verify and rewrap-keys");
if (faults.Report()) return NotifyHost.WrongConfiguration;

var store = builder.Services.AddNotifyStore(builder.Configuration.Database(), mayCreate: command == "migrate");
if (command is null)
{
    store.AddAsyncDaemon(DaemonMode.HotCold);
    builder.Services.AddSingleton<QueueBacklogReader>().AddHostedService<QueueBacklogMetrics>();
}

var app = builder.Build();
switch (command)
{
    case "migrate":
        await Migrations.ApplyStoreAsync(app.Services);
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
