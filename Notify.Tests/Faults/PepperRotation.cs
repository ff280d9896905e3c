namespace Notify.Tests.Faults;

using System.Security.Cryptography;
using System.Text;
using Notify.Tests.EndToEnd;
using Notify.Tests.Support;

/// <summary>The pepper of a running system is replaced, and the former one is dropped.</summary>
[Trait("Category", "Faults")]
[Trait("Category", "Long")]
public sealed class PepperRotation : SystemTest
{
    // Hosts are restarted in this test, and start in seconds or, on a machine that is busy, much later.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(90);

    /// <inheritdoc />
    public override async ValueTask InitializeAsync() => Installation = await NotifySystem.StartAsync("pepper", projections: false);

    /// <inheritdoc />
    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        await Installation.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task Everybody_known_under_the_former_pepper_is_found_after_it_was_replaced_and_dropped()
    {
        var person = await Installation.NewPersonAsync();
        var (suppressed, phone, email) = (Person.NewPhone(), Person.NewPhone(), Person.NewEmail());
        (
            await Client.PostAsync(
                "/v1/suppressions",
                new
                {
                    channel = "sms",
                    address = suppressed,
                    reason = "ByRequest",
                }
            )
        ).Is(201);
        var mail = await SendAsync("mail", new { email });
        await SendAsync("text", new { phone });
        await Installation.QuietAsync(Patience);
        var link = Unsubscribing.TokenIn(Assert.Single(await Sandbox.LedgerAsync(mail)));

        var former = TestRun.Secrets["Notify__Pepper"];
        Installation.Set("Notify__Peppers__0", former);
        Installation.Set("Notify__Peppers__1", NewValue());
        Installation.Set("Notify__Pepper", "1");
        await EndAsync(Installation.Api);
        await Installation.StartApiAsync();
        Assert.Equal("0", await CurrentAsync()); // Dispatch has not the new one yet
        await Installation.StopDispatchAsync();
        await Installation.StartDispatchAsync();
        await Eventually.Becomes(CurrentAsync, c => c == "1", "the new pepper is current", Patience);
        await RefusesAsync("Notify__Peppers__0", "", "Notify:Peppers lacks \"0\"");
        await RefusesAsync("Notify__Peppers__0", NewValue(), "Notify:Peppers:0 has another value");

        var (exitCode, output, _) = await Installation.RunProjectionsAsync("rotate-pepper", "--by", "ops");
        Assert.True(exitCode == 0, output);
        await IsFoundAsync(person, suppressed);
        await UnsubscribeAsync(link, 200);
        Assert.Equal("1", (await Client.PostAsync("/v1/erasures", new { phone })).Is(200)["keys"]);

        // Secrets are hashed anew beside the request that came with them.
        await Eventually.Holds(
            async () => (await Installation.RunProjectionsAsync("rotate-pepper", "--by", "ops", "--drop", "0")).ExitCode == 0,
            "the former pepper is dropped",
            Patience
        );
        Installation.Set("Notify__Peppers__0", "");
        await EndAsync(Installation.Api);
        await Installation.StartApiAsync();
        await IsFoundAsync(person, suppressed);
        await UnsubscribeAsync(link, 404);
        Assert.Equal("1", (await Client.PostAsync("/v1/erasures", new { userId = person.Id })).Is(200)["users"]);
        Assert.Equal("1", (await Client.PostAsync("/v1/erasures", new { email })).Is(200)["keys"]);
        Assert.Equal(1L, await Installation.ScalarAsync<long>("select count(*) from events.mt_streams where id like 'u/%'"));
    }

    private async Task IsFoundAsync(Person person, string suppressed)
    {
        Assert.Equal(person.Phone, (await Client.GetAsync($"/v1/users/{person.Id}")).Is(200)["phone"]);
        (await Client.PostAsync($"/v1/users/{person.Id}/devices", new { platform = "ios", token = person.Tokens[0] })).Is(201);
        var no = await SendAsync("no", new { phone = suppressed });
        var yes = NewId("yes");
        (
            await Client.SendAsync(
                new
                {
                    eventId = yes,
                    userId = person.Id,
                    content = new { title = yes, body = yes },
                }
            )
        ).Is(202);
        await Client.BecomesAsync(yes, "dispatched", Patience);
        Assert.Equal(2, (await Sandbox.CountAsync(yes)).Accepted); // the phone number and one device
        Assert.Equal("SuppressedAddress", (await Client.BecomesAsync(no, "suppressed", Patience)).On("sms").Reason);
        Assert.Equal(0, (await Sandbox.CountAsync(no)).Received);
    }

    private async Task<string> SendAsync(string what, object to)
    {
        var id = NewId(what);
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    to,
                    category = "news",
                    content = new { title = id, body = id },
                }
            )
        ).Is(202);
        return id;
    }

    private Task<string> CurrentAsync() => Installation.ScalarAsync<string>("select id from notify.peppers where is_current");

    private async Task UnsubscribeAsync(string token, int status)
    {
        using var mailProgram = new NotifyClient(Installation.ApiUrl, null, null);
        using var form = new StringContent("List-Unsubscribe=One-Click", Encoding.UTF8, "application/x-www-form-urlencoded");
        (await mailProgram.CallAsync(HttpMethod.Post, $"/u/{token}", form)).Is(status);
    }

    private async Task RefusesAsync(string key, string value, string line)
    {
        var environment = Installation.Environment(new Uri($"http://127.0.0.1:{HostProcess.FreePort()}"));
        if (value.Length > 0)
            environment[key] = value;
        else
            environment.Remove(key);
        foreach (var host in new[] { "Api", "Dispatch" })
        {
            var log = TestRun.Log($"pepper-refused-{Guid.NewGuid():N}");
            var (exitCode, _, errors) = await HostProcess.RunAsync(host, Repository.Program($"Notify.{host}"), [], environment, log);
            Assert.Equal(78, exitCode);
            Assert.Contains(errors, e => e.Contains(line, StringComparison.Ordinal));
        }
    }

    private static async Task EndAsync(HostProcess host)
    {
        host.Terminate();
        await host.EndAsync(TimeSpan.FromSeconds(30));
    }

    private static string NewValue() => Convert.ToBase64String(RandomNumberGenerator.GetBytes(32));
}
