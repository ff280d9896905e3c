namespace Notify.Delivery.Hosting;

using System.ComponentModel;
using System.Net.Sockets;
using System.Reflection;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Diagnostics.HealthChecks;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Configuration.KeyPerFile;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.FileProviders;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Console;
using Notify.Delivery.Messaging;
using Notify.Delivery.Privacy;
using Notify.Delivery.Snapshots;
using Notify.Delivery.Telemetry;
using Notify.Infrastructure.Hosting;
using Notify.Infrastructure.Postgres;
using Notify.Infrastructure.Telemetry;
using Npgsql;

/// <summary>Common parts of the hosts Api, Dispatch and Projections: checked configuration, logs, health, clear exit messages.</summary>
public static class NotifyHost
{
    /// <summary>Exit code for wrong configuration (sysexits' <c>EX_CONFIG</c>).</summary>
    public const int WrongConfiguration = 78;

    private static volatile bool hasStarted;
    private static volatile bool logsJson;

    /// <summary>Starts a host's builder and adds what every host needs.</summary>
    /// <param name="name">The host's name in logs, traces and errors, such as <c>notify-api</c>.</param>
    /// <param name="defaultUrl">Where it listens unless <c>Urls</c> or <c>ASPNETCORE_URLS</c> says otherwise.</param>
    /// <param name="faults">Every fault of the configuration; the host reports all of them and does not start.</param>
    public static WebApplicationBuilder CreateBuilder(string name, string defaultUrl, string[] args, out StartupFaults faults)
    {
        var builder = WebApplication.CreateBuilder(
            new WebApplicationOptions
            {
                Args = args,
                ApplicationName = null,
                ContentRootPath = args.Contains("codegen") ? Directory.GetCurrentDirectory() : AppContext.BaseDirectory,
            }
        );
        faults = new StartupFaults(name);
        logsJson = bool.TryParse(builder.Configuration["Notify:JsonLogs"], out var json) && json;
        AddSettingsFiles(builder.Configuration, faults);
        var urls = builder.Configuration[WebHostDefaults.ServerUrlsKey] is { Length: > 0 } given ? given : defaultUrl;
        builder.Services.AddSingleton(HttpEdge.Read(builder.Configuration, ref urls, faults));
        builder.WebHost.UseUrls(urls.Split(';'));

        var connection = builder.Configuration.GetConnectionString("notify");
        if (string.IsNullOrWhiteSpace(connection))
            faults.Add(
                "ConnectionStrings:notify is missing; set ConnectionStrings__notify, e.g. "
                    + "Host=127.0.0.1;Port=5432;Database=notify;Username=notify"
            );
        else if (!IsConnectionString(connection, out var why))
            faults.Add($"ConnectionStrings:notify cannot be read: {why}");
        if (builder.Configuration.GetConnectionString("notify_owner") is { Length: > 0 } owner && !IsConnectionString(owner, out var wrong))
            faults.Add($"ConnectionStrings:notify_owner cannot be read: {wrong}");
        var broker = builder.Configuration.ReadBroker(faults);
        foreach (var key in new[] { "Notify:Takeover" })
        {
            if (builder.Configuration[key] is { } text && !(TimeSpan.TryParse(text, out var span) && span > TimeSpan.Zero))
                faults.Add($"{key} is \"{text}\"; give a time such as 00:00:15");
        }

        if (MasterKeyRing.Read(builder.Configuration, faults) is { } ring)
            builder.Services.AddSingleton(ring);
        builder.Services.AddSingleton(Notify.Delivery.Planning.TimeZones.Read(builder.Configuration, faults));
        var clock = new InstallationClock(BootTimeProvider.Instance);
        builder
            .Services.AddSingleton<TimeProvider>(clock)
            .AddSingleton(clock)
            .AddHostedService<ClockWatch>()
            .AddSingleton<SubjectKeys>()
            .AddSingleton<UserReferences>(); // the first that starts
        builder.Services.AddSingleton(new HostName(name)).AddSingleton<HostKeys>().AddHostedService(s => s.GetRequiredService<HostKeys>());

        builder.Logging.ClearProviders();
        if (logsJson)
        {
            builder.Logging.AddConsole(o => o.FormatterName = JsonLogFormatter.FormatterName);
            builder.Services.AddSingleton<ConsoleFormatter>(new JsonLogFormatter(name, TimeProvider.System));
        }
        else
        {
            builder.Logging.AddSimpleConsole(o =>
                (o.SingleLine, o.IncludeScopes, o.UseUtcTimestamp, o.TimestampFormat) = (true, false, true, "HH:mm:ss.fff ")
            );
        }

        builder.Logging.SetMinimumLevel(LogLevel.Information);
        // Request paths of providers contain tokens, and Npgsql and Marten log statements with their parameters: warnings only.
        foreach (var category in new[] { "Microsoft", "System.Net.Http", "Npgsql", "Marten", "Wolverine", "JasperFx", "Polly" })
            builder.Logging.AddFilter(category, LogLevel.Warning);
        RouteTemplates.Apply(builder.Logging);
        // RunAsync logs a failed start in one line.
        builder.Logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", _ => hasStarted);
        builder.Logging.AddFilter("Microsoft.Hosting.Lifetime", LogLevel.Information);
        builder.Logging.AddFilter("Wolverine.Runtime", level => hasStarted ? level >= LogLevel.Warning : level > LogLevel.Error);
        builder.Logging.AddFilter("Microsoft.Extensions.Diagnostics.HealthChecks", LogLevel.Error); // a degraded host has logged it once
        builder.Logging.AddFilter("JasperFx.Resources", level => level > LogLevel.Error); // the migration's own last line says it
        // Api and Projections handle no messages, and Wolverine would warn of it.
        builder.Logging.AddFilter("Wolverine.Configuration", LogLevel.Error);

        var health = builder
            .Services.AddHealthChecks()
            .AddCheck<DatabaseHealth>("database", tags: ["ready"])
            .AddCheck<MasterKeyHealth>("masterKeys", tags: ["ready"]);
        if (broker is not null)
        {
            // RabbitMqBroker logs an unavailable broker once; Wolverine would log it for every message and listener.
            builder.Logging.AddFilter("Wolverine.RabbitMQ", LogLevel.Critical);
            builder.Logging.AddFilter("Wolverine.Persistence.Durability.DurableSendingAgent", LogLevel.Critical);
            builder.Services.AddSingleton(s => new RabbitMqBroker(
                broker,
                name,
                s.GetRequiredService<TimeProvider>(),
                s.GetRequiredService<ILogger<RabbitMqBroker>>()
            ));
            if (name != "notify-projections")
                health.AddCheck<BrokerHealth>("broker", tags: ["ready"]); // Projections neither sends nor receives
        }

        if (name != "notify-projections")
            builder.AddCache(faults); // Projections plans and sends nothing
        builder.Services.Configure<HostOptions>(o => o.ShutdownTimeout = TimeSpan.FromSeconds(28));
        builder.AddTelemetry(name);
        return builder;
    }

    /// <summary>The host's clock, for what is made before its services are.</summary>
    public static TimeProvider Clock(this WebApplicationBuilder builder) =>
        (TimeProvider)builder.Services.Last(s => s.ServiceType == typeof(TimeProvider)).ImplementationInstance!;

    /// <summary>Adds a host's edge: trusted proxies, security headers, and the listener of operators.</summary>
    public static void UseEdge(this WebApplication app)
    {
        var edge = app.Services.GetRequiredService<HttpEdge>();
        edge.Use(app);
        edge.UseManagement(app);
    }

    /// <summary>Serves liveness, readiness and metrics.</summary>
    public static void MapOperations(this WebApplication app)
    {
        app.MapHealthChecks("/health/live", new HealthCheckOptions { Predicate = _ => false, ResponseWriter = WriteHealth });
        app.MapHealthChecks(
            "/health/ready",
            new HealthCheckOptions { Predicate = c => c.Tags.Contains("ready"), ResponseWriter = WriteHealth }
        );
        app.MapPrometheusScrapingEndpoint("/metrics");
    }

    /// <summary>Runs a host to its end. A failed start is reported in one line.</summary>
    /// <param name="check">A check before the start; it returns the fault and its fix.</param>
    public static Task<int> RunAsync(WebApplication app, string name, Func<Task<string?>>? check = null)
    {
        app.Lifetime.ApplicationStarted.Register(() => hasStarted = true);
        return RunAsync(
            name,
            async () =>
            {
                if (check is not null && await check() is { } fault)
                    return Fail(name, fault);
                if (await app.Services.GetRequiredService<HostKeys>().JoinAsync() is { } wrong)
                    return FailConfiguration(name, wrong);

                try
                {
                    await app.RunAsync();
                }
                catch (OperationCanceledException) when (!hasStarted && app.Lifetime.ApplicationStopping.IsCancellationRequested)
                {
                    // The host was stopped while it started.
                }

                return 0;
            }
        );
    }

    /// <summary>Checks that a host uses the installation's transport, and that the transport is available. Declares nothing.</summary>
    /// <param name="mayBeAway">Whether the host can work while the broker is unavailable.</param>
    /// <returns>The fault and its fix; <c>null</c> when there is none.</returns>
    public static async Task<string?> CheckTransportAsync(WebApplication app, bool mayBeAway)
    {
        if (
            await TransportMark.CheckAsync(app.Services.GetRequiredService<NpgsqlDataSource>(), app.Configuration.Transport(), default) is
            { } fault
        )
            return fault;
        if (app.Services.GetService<RabbitMqBroker>() is not { } broker || await broker.CheckAsync(default) is not { } wrong)
            return null;
        return wrong.IsAway && mayBeAway ? null : wrong.Message;
    }

    /// <summary>Runs a command that reads or makes keyed hashes or encrypted data, unless its secrets are not the database's.</summary>
    public static Task<int> RunWithSecretsAsync(IServiceProvider services, string name, Func<Task<int>> run) =>
        RunAsync(
            name,
            async () =>
            {
                var wrong = await services.GetRequiredService<HostKeys>().CheckAsync(records: false);
                return wrong is not null ? FailConfiguration(name, wrong) : await run();
            }
        );

    /// <summary>Runs a command that writes what hosts write: while it runs, it counts as a host with its keys.</summary>
    public static Task<int> RunAsHostAsync(IServiceProvider services, string name, Func<Task<int>> run) =>
        RunAsync(
            name,
            async () =>
            {
                var keys = services.GetRequiredService<HostKeys>();
                if (await keys.JoinAsync() is { } wrong)
                    return FailConfiguration(name, wrong);
                try
                {
                    return await run();
                }
                finally
                {
                    await keys.LeaveAsync();
                }
            }
        );

    /// <summary>Runs a command. A failure is reported in one line.</summary>
    public static async Task<int> RunAsync(string name, Func<Task<int>> run)
    {
        try
        {
            return await run();
        }
        catch (IOException e) when (e.InnerException is AddressInUseException)
        {
            return Fail(name, $"{e.Message.TrimEnd('.')}; stop what listens there, or choose another port with ASPNETCORE_URLS");
        }
        catch (Exception e) when (Root(e) is NpgsqlException or SocketException or TimeoutException)
        {
            return Fail(
                name,
                $"PostgreSQL does not answer as it should ({Root(e).Message.Split('\n')[0]}); see that it runs, that "
                    + "ConnectionStrings:notify is right, and that the migration was run"
            );
        }
    }

    /// <summary>One line on the error stream, and an exit code.</summary>
    public static int Fail(string name, string message)
    {
        Tell(name, message);
        return 1;
    }

    /// <summary>One line about the configuration on the error stream, and its exit code.</summary>
    public static int FailConfiguration(string name, string message)
    {
        Tell(name, $"configuration: {message}");
        return WrongConfiguration;
    }

    /// <summary>One line on the error stream; as JSON, like every other line, when logs are wanted as JSON.</summary>
    internal static void Tell(string name, string message) =>
        Console.Error.WriteLine(
            logsJson
                ? JsonLogFormatter.Line(name, TimeProvider.System.GetUtcNow(), LogLevel.Critical, "start-up", message)
                : $"{name}: {message}"
        );

    // Settings as files, one each: the way in which containers get secrets. The environment overrides them.
    private static void AddSettingsFiles(ConfigurationManager configuration, StartupFaults faults)
    {
        if (configuration["Notify:SettingsPath"] is not { Length: > 0 } path)
            return;
        if (!Directory.Exists(path))
            faults.Add(
                $"Notify:SettingsPath is \"{path}\", and there is no such folder; make it, with one file for each setting, "
                    + "named like Providers__Twilio__AuthToken"
            );
        else
            ((IConfigurationBuilder)configuration).Sources.Insert(
                0,
                new KeyPerFileConfigurationSource { FileProvider = new PhysicalFileProvider(Path.GetFullPath(path)), Optional = true }
            );
    }

    private static Exception Root(Exception e) =>
        e switch
        {
            AggregateException { InnerExceptions: [var only] } => Root(only),
            NpgsqlException or { InnerException: null } => e,
            _ => Root(e.InnerException!),
        };

    private static bool IsConnectionString(string text, out string why)
    {
        try
        {
            why = new NpgsqlConnectionStringBuilder(text).Host is null ? "Host is missing" : "";
            return why.Length == 0;
        }
        catch (Exception e) when (e is ArgumentException or FormatException)
        {
            why = e.Message;
            return false;
        }
    }

    private static Task WriteHealth(HttpContext context, HealthReport report) =>
        context.Response.WriteAsJsonAsync(
            new
            {
                status = report.Status.ToString(),
                checks = report.Entries.ToDictionary(e => e.Key, e => new { status = e.Value.Status.ToString(), e.Value.Description }),
            },
            JsonSerializerOptions.Web
        );
}

/// <summary>The faults found in a host's configuration; all are reported at once.</summary>
public sealed class StartupFaults(string host) : List<string>
{
    /// <summary>Tells every fault, one line each, on the error stream.</summary>
    /// <returns>Whether there were any.</returns>
    public bool Report()
    {
        foreach (var fault in this)
            NotifyHost.Tell(host, $"configuration: {fault}");
        return Count > 0;
    }
}

/// <summary>Whether the database answers and has been migrated.</summary>
public sealed class DatabaseHealth(HeartbeatDatabase database) : IHealthCheck
{
    /// <inheritdoc />
    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        try
        {
            await using var command = database.Source.CreateCommand("select to_regclass('notify.event_ids') is not null");
            command.CommandTimeout = 3;
            return await command.ExecuteScalarAsync(cancellationToken) is true
                ? HealthCheckResult.Healthy()
                : HealthCheckResult.Unhealthy("The database has not been migrated; run the migrate command.");
        }
        catch (Exception e) when (e is NpgsqlException or TimeoutException or SocketException)
        {
            return HealthCheckResult.Unhealthy("PostgreSQL does not answer.");
        }
    }
}
