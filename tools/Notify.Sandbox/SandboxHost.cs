namespace Notify.Sandbox;

using System.Globalization;
using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Notify.Sandbox.Access;
using Notify.Sandbox.Apns;
using Notify.Sandbox.Fcm;
using Notify.Sandbox.Inbound;
using Notify.Sandbox.Keys;
using Notify.Sandbox.Knobs;
using Notify.Sandbox.Ledger;
using Notify.Sandbox.Magic;
using Notify.Sandbox.Mailchimp;
using Notify.Sandbox.Providers;
using Notify.Sandbox.Receipts;
using Notify.Sandbox.SendGrid;
using Notify.Sandbox.Smtp;
using Notify.Sandbox.Twilio;
using Notify.Sandbox.Vonage;
using Notify.Sandbox.WebPush;

/// <summary>Builds and runs the server.</summary>
public static class SandboxHost
{
    /// <summary>Streams that a client may have open at once on one APNs connection.</summary>
    public const int StreamsPerConnection = 1_000;

    /// <summary>Returns the exit code: 0 after an orderly stop, 1 if the server could not start.</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        var builder = WebApplication.CreateSlimBuilder(args);
        var settings = builder.Configuration.GetSection("Sandbox");
        if (!TryAddress(settings["Url"] ?? "http://127.0.0.1:5090", "http", out var main))
            return Fail("Sandbox:Url must be like http://127.0.0.1:5090.");
        if (!TryAddress(settings["ApnsUrl"] ?? "https://127.0.0.1:5091", "https", out var apns))
            return Fail("Sandbox:ApnsUrl must be like https://127.0.0.1:5091.");
        BindingAddress? development = null;
        if (settings["ApnsDevelopmentUrl"] is { Length: > 0 } second && !TryAddress(second, "https", out development))
            return Fail("Sandbox:ApnsDevelopmentUrl must be like https://127.0.0.1:5093, or be left out.");
        var topics = (settings["ApnsTopics"] ?? "").Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        if (!TryAddress(settings["SmtpUrl"] ?? "smtp://127.0.0.1:5092", "smtp", out var smtp))
            return Fail("Sandbox:SmtpUrl must be like smtp://127.0.0.1:5092.");
        if (
            settings["WebhookUrl"] is { Length: > 0 } webhook
            && !(Uri.TryCreate(webhook, UriKind.Absolute, out var url) && url.Scheme is "http" or "https")
        )
            return Fail("Sandbox:WebhookUrl must be the address of Notify's Dispatch, like http://127.0.0.1:5081, or be left out.");
        if (settings["VonageWebhookMethod"] is { } method && !VonageReceipts.Methods.Contains(method))
            return Fail($"Sandbox:VonageWebhookMethod must be one of {string.Join(", ", VonageReceipts.Methods)}.");
        var life = TimeSpan.FromDays(1);
        if (
            settings["LedgerTimeToLive"] is { Length: > 0 } text
            && !(TimeSpan.TryParse(text, CultureInfo.InvariantCulture, out life) && life >= TimeSpan.Zero)
        )
            return Fail("Sandbox:LedgerTimeToLive must be a time such as 1.00:00:00 (a day), or 00:00:00 for as long as there is room.");
        var control = new ControlKey(settings["Key"], main.Host);
        var (keys, problem) = SandboxKeys.Load(settings["Home"]);
        if (keys is null)
            return Fail(problem);

        if (settings["LedgerPath"] is { Length: > 0 } folder)
        {
            var (files, obstacle) = LedgerFiles.Open(Path.GetFullPath(folder));
            if (files is null)
                return Fail(obstacle);
            builder.Services.AddSingleton(_ => files);
        }

        ConfigureLogging(builder.Logging);
        BindingAddress[] apnsServers = development is null ? [apns] : [apns, development];
        builder.WebHost.ConfigureKestrel(kestrel => Listen(kestrel, main, apnsServers, keys));
        builder
            .Services.Configure<HostOptions>(options => options.ShutdownTimeout = TimeSpan.FromSeconds(2))
            .AddSingleton(TimeProvider.System)
            .AddSingleton(keys)
            .AddSingleton<KnobBoard>()
            .AddSingleton(new LedgerAge(life))
            .AddSingleton<RequestLedger>()
            .AddHostedService<LedgerExpiry>()
            .AddSingleton<MagicAddresses>()
            .AddSingleton<WebhookSender>()
            .AddSingleton<Journeys>()
            .AddHostedService(provider => provider.GetRequiredService<Journeys>())
            .AddProblemDetails()
            .AddApns(new ApnsServers(apns.Port, development?.Port), topics)
            .AddFcm()
            .AddTwilio()
            .AddSendGrid()
            .AddWebPush()
            .AddVonage()
            .AddMailchimp()
            .AddSmtp(smtp);

        await using var app = builder.Build();
        app.Services.GetRequiredService<RequestLedger>().Restore(app.Services.GetServices<IProviderHistory>());
        app.UseApns();
        app.UseRouting();
        app.UseStatusCodePages();
        var guarded = app.MapGroup("")
            .AddEndpointFilter(async (context, next) => control.Check(context.HttpContext.Request) ?? await next(context));
        guarded.MapLedger();
        guarded.MapKnobs();
        guarded.MapInbound();
        app.MapFcm();
        app.MapTwilio();
        app.MapSendGrid();
        app.MapWebPush();
        app.MapVonage();
        app.MapMailchimp();
        app.MapGet("/health/live", () => Results.Text("live"));
        app.MapGet("/health/ready", () => Results.Text("ready"));

        try
        {
            await app.StartAsync();
        }
        catch (Exception error) when (error is IOException or System.Net.Sockets.SocketException)
        {
            return Fail($"The sandbox cannot listen on {main}, {apns} and {smtp}: {error.Message}");
        }

        Console.WriteLine($"The sandbox is on {main}, APNs on {apns}, SMTP on {smtp}.");
        if (control.IsClosed)
            Console.WriteLine("Its ledger, knobs and inbound messages are closed, since others reach it: set Sandbox:Key to open them.");
        await app.WaitForShutdownAsync();
        return 0;
    }

    private static void Listen(KestrelServerOptions kestrel, BindingAddress main, IEnumerable<BindingAddress> apns, SandboxKeys keys)
    {
        kestrel.AddServerHeader = false;
        kestrel.Limits.MaxRequestBodySize = null; // RequestBody has its own limit, and APNs its own answer beyond it.
        kestrel.Limits.Http2.MaxStreamsPerConnection = StreamsPerConnection;
        Listen(kestrel, main, options => options.Protocols = HttpProtocols.Http1);
        foreach (var address in apns)
        {
            Listen(
                kestrel,
                address,
                options =>
                {
                    options.Protocols = HttpProtocols.Http2;
                    options.UseHttps(keys.ApnsCertificate);
                }
            );
        }
    }

    private static void Listen(KestrelServerOptions kestrel, BindingAddress address, Action<ListenOptions> configure)
    {
        if (IPAddress.TryParse(address.Host.Trim('[', ']'), out var ip))
            kestrel.Listen(ip, address.Port, configure);
        else if (address.Host == "localhost")
            kestrel.ListenLocalhost(address.Port, configure);
        else
            kestrel.ListenAnyIP(address.Port, configure);
    }

    /// <summary>Quiet, and no work per request: hosting starts an activity for each one if its log is on at any level.</summary>
    private static void ConfigureLogging(ILoggingBuilder logging) =>
        logging
            .SetMinimumLevel(LogLevel.Warning)
            .AddFilter("Microsoft.AspNetCore.Hosting.Diagnostics", LogLevel.None)
            .AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None); // A failed start is told in one line below.

    private static bool TryAddress(string url, string scheme, out BindingAddress address)
    {
        address = null!;
        try
        {
            address = BindingAddress.Parse(url);
            return address.Scheme == scheme && !address.IsUnixPipe && address.Port > 0;
        }
        catch (FormatException)
        {
            return false;
        }
    }

    private static int Fail(string? problem)
    {
        Console.Error.WriteLine(problem);
        return 1;
    }
}
