namespace Notify.Tests.Sandbox;

using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.WebUtilities;
using Notify.Dispatch.Providers.Sms.Twilio;
using Notify.Tests.Support;

/// <summary>
/// The sandbox's Twilio reports the outcome of a message to the status callback, as the fault setting or the number asks.
/// </summary>
[Collection(PlayedSandboxCollection.Name)]
public sealed class TwilioPlayed(PlayedSandbox sandbox)
{
    [Theory]
    [InlineData("delivered", "+821012345678", "queued sent delivered")]
    [InlineData("shuffled", "+821012345678", "delivered queued sent")]
    [InlineData("repeated", "+821012345678", "queued queued sent sent delivered delivered")]
    [InlineData("none", "+15005551001", "queued sent delivered")]
    [InlineData("failed", "+15005551001", "queued sent delivered")]
    [InlineData("none", "+15005553001", "queued sent undelivered")]
    public async Task Callbacks_follow_and_are_signed(string knob, string to, string wanted)
    {
        await sandbox.Client.KnobsAsync("twilio", new { receipts = knob });
        var callback = $"{sandbox.WebhookBase}/receipts/twilio?d={Guid.NewGuid():N}";
        var sid = (await SendAsync(to, callback, 201)).GetProperty("sid").GetString()!;
        var posts = await Eventually.Becomes(
            () => Task.FromResult(sandbox.Received(sid)),
            r => r.Count >= wanted.Split(' ').Length,
            $"callbacks of {sid}"
        );

        Assert.Equal(wanted, string.Join(' ', posts.Select(p => QueryHelpers.ParseQuery(p.Text)["MessageStatus"].ToString())));
        Assert.All(
            posts,
            p =>
                Assert.True(
                    TwilioSignature.IsValid(
                        sandbox.Account("twilioAuthToken"),
                        new Uri(callback),
                        isForm: true,
                        p.Body,
                        p.Header("X-Twilio-Signature")
                    )
                )
        );
    }

    [Fact]
    public async Task A_number_that_fails_is_refused_at_once() =>
        Assert.Equal(21612, (await SendAsync("+15005552001", null, 400)).GetProperty("code").GetInt32());

    private async Task<JsonElement> SendAsync(string to, string? callback, int status)
    {
        var form = new Dictionary<string, string>
        {
            ["To"] = to,
            ["From"] = sandbox.Account("twilioFrom"),
            ["Body"] = "x",
        };
        if (callback is not null)
            form["StatusCallback"] = callback;
        using var request = new HttpRequestMessage(
            HttpMethod.Post,
            new Uri(sandbox.Url, $"/2010-04-01/Accounts/{sandbox.Account("twilioAccountSid")}/Messages.json")
        )
        {
            Content = new FormUrlEncodedContent(form),
        };
        request.Headers.Authorization = new AuthenticationHeaderValue(
            "Basic",
            Convert.ToBase64String(Encoding.UTF8.GetBytes($"{sandbox.Account("twilioAccountSid")}:{sandbox.Account("twilioAuthToken")}"))
        );
        using var response = await sandbox.Http.SendAsync(request, TestContext.Current.CancellationToken);
        Assert.Equal(status, (int)response.StatusCode);
        return JsonSerializer.Deserialize<JsonElement>(await response.Content.ReadAsByteArrayAsync(TestContext.Current.CancellationToken));
    }
}
