namespace Notify.Tests.Sandbox;

using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using Notify.Tests.Support;

/// <summary>The sandbox's ledger in a folder: a restart changes nothing in it.</summary>
public sealed class LedgerOnDisk : IAsyncDisposable
{
    private readonly string folder = Path.Combine(Repository.Home, $"ledger-{Guid.NewGuid():N}");
    private readonly Uri url = new($"http://127.0.0.1:{HostProcess.FreePort()}");
    private readonly HttpClient http = new(new SocketsHttpHandler { UseProxy = false });
    private readonly SandboxClient sandbox;
    private readonly List<HostProcess> started = [];

    public LedgerOnDisk() => sandbox = new SandboxClient(url);

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Ledger_of_a_killed_sandbox_has_its_entries_after_the_restart()
    {
        var process = await StartAsync();
        var sids = new List<string>();
        foreach (var text in new[] { "one", "two", "three" })
            sids.Add(await SendSmsAsync(text));
        Assert.Null(await TrySendSmsAsync("refused", "+15005552001"));
        var before = await AllAsync();
        Assert.Equal(4, before.Count);

        await process.KillAsync();
        process = await StartAsync();

        Assert.Equal(before, await AllAsync());
        Assert.Equal((4, 3), await sandbox.CountAsync());
        Assert.Equal((1, 1), await sandbox.CountAsync("two"));
        var listed = await ListedAsync();
        Assert.All(sids, sid => Assert.Contains(sid, listed, StringComparison.Ordinal));
        await SendSmsAsync("four");
        Assert.Equal(5, (await sandbox.LedgerAsync())[^1].Sequence);

        // Killed within an entry: that one was not answered, and all before it stay.
        await process.KillAsync();
        var file = Assert.Single(Directory.GetFiles(folder, "*.ledger"));
        await using (var cut = new FileStream(file, FileMode.Open))
            cut.SetLength(cut.Length - 10);
        process = await StartAsync();
        Assert.Equal(before, await AllAsync());
        await SendSmsAsync("five");
        Assert.Equal((5, 4), await sandbox.CountAsync());

        (await http.DeleteAsync(new Uri(url, "/ledger"), Stop)).EnsureSuccessStatusCode();
        await process.KillAsync();
        await StartAsync();
        Assert.Equal((0, 0), await sandbox.CountAsync());
    }

    [Fact]
    public async Task Second_sandbox_with_the_same_folder_ends_with_one_line()
    {
        await StartAsync();

        var (exitCode, _, errors) = await HostProcess.RunAsync(
            "Sandbox",
            Repository.Program("tools/Notify.Sandbox"),
            [],
            Settings(HostProcess.FreePort()),
            TestRun.Log("ledger-second")
        );

        Assert.Equal(1, exitCode);
        Assert.Contains("Name a folder that no other sandbox uses.", Assert.Single(errors), StringComparison.Ordinal);
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        foreach (var process in started)
            await process.DisposeAsync();
        sandbox.Dispose();
        http.Dispose();
        if (Directory.Exists(folder))
            Directory.Delete(folder, recursive: true);
    }

    private async Task<List<string>> AllAsync() => [.. (await sandbox.LedgerAsync()).Select(e => e.Json.ToJsonString())];

    private async Task<string> SendSmsAsync(string text) => (await TrySendSmsAsync(text, "+821012345678"))!;

    private async Task<string?> TrySendSmsAsync(string text, string to)
    {
        var accounts = await TestRun.Accounts;
        using var request = await RequestAsync(HttpMethod.Post);
        var from = accounts.GetProperty("twilioFrom").GetString()!;
        request.Content = new FormUrlEncodedContent(
            new Dictionary<string, string>
            {
                ["To"] = to,
                ["From"] = from,
                ["Body"] = text,
            }
        );
        using var response = await http.SendAsync(request, Stop);
        if (!response.IsSuccessStatusCode)
            return null;
        return JsonDocument.Parse(await response.Content.ReadAsStringAsync(Stop)).RootElement.GetProperty("sid").GetString();
    }

    private async Task<string> ListedAsync()
    {
        using var request = await RequestAsync(HttpMethod.Get);
        using var response = await http.SendAsync(request, Stop);
        return await response.Content.ReadAsStringAsync(Stop);
    }

    private async Task<HttpRequestMessage> RequestAsync(HttpMethod method)
    {
        var accounts = await TestRun.Accounts;
        var account = accounts.GetProperty("twilioAccountSid").GetString();
        var credentials = Encoding.UTF8.GetBytes($"{account}:{accounts.GetProperty("twilioAuthToken").GetString()}");
        var request = new HttpRequestMessage(method, new Uri(url, $"/2010-04-01/Accounts/{account}/Messages.json"));
        request.Headers.Authorization = new AuthenticationHeaderValue("Basic", Convert.ToBase64String(credentials));
        return request;
    }

    private Dictionary<string, string> Settings(int port) =>
        new()
        {
            ["Sandbox__Home"] = TestRun.SandboxHome,
            ["Sandbox__LedgerPath"] = folder,
            ["Sandbox__Url"] = $"http://127.0.0.1:{port}",
            ["Sandbox__ApnsUrl"] = $"https://127.0.0.1:{HostProcess.FreePort()}",
            ["Sandbox__SmtpUrl"] = $"smtp://127.0.0.1:{HostProcess.FreePort()}",
        };

    private async Task<HostProcess> StartAsync()
    {
        await TestRun.Accounts;
        var process = HostProcess.Start(
            "Sandbox",
            Repository.Program("tools/Notify.Sandbox"),
            [],
            Settings(url.Port),
            TestRun.Log("ledger")
        );
        started.Add(process);
        await Eventually.Holds(
            async () =>
            {
                if (process.HasEnded)
                    throw new InvalidOperationException(process.Tail(20));
                try
                {
                    return (await http.GetAsync(new Uri(url, "/health/ready"), Stop)).IsSuccessStatusCode;
                }
                catch (HttpRequestException)
                {
                    return false;
                }
            },
            "the sandbox is ready"
        );
        return process;
    }
}
