namespace Notify.Tests.Sandbox;

using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using Notify.Dispatch.Providers.Email.SendGrid;
using Notify.Tests.Support;

/// <summary>The sandbox's SendGrid reports the outcomes of mails, signed with a key of its own.</summary>
[Collection(PlayedSandboxCollection.Name)]
public sealed class SendGridPlayed(PlayedSandbox sandbox)
{
    [Theory]
    [InlineData("delivered", "a", "processed delivered")]
    [InlineData("shuffled", "a", "delivered processed")]
    [InlineData("repeated", "a", "processed processed delivered delivered")]
    [InlineData("none", "delivered", "processed delivered")]
    [InlineData("none", "opened", "processed delivered open")]
    [InlineData("none", "bounced", "processed bounce")]
    public async Task Events_follow_as_the_knob_or_the_recipient_says(string knob, string who, string wanted)
    {
        await sandbox.Client.KnobsAsync("sendgrid", new { receipts = knob });
        var delivery = Guid.NewGuid().ToString();
        var messageId = await SendAsync(delivery, $"{who}+{delivery[..8]}@mail.example");
        var events = await EventsAsync(delivery, wanted.Split(' ').Length);

        Assert.Equal(wanted, string.Join(' ', events.Select(e => e.GetProperty("event").GetString())));
        Assert.All(events, e => Assert.StartsWith($"{messageId}.", e.GetProperty("sg_message_id").GetString(), StringComparison.Ordinal));
        Assert.Equal(wanted.Split(' ').Distinct().Count(), events.Select(e => e.GetProperty("sg_event_id").GetString()).Distinct().Count());
        if (who == "bounced")
            Assert.Equal(("bounce", "5.1.1"), (events[^1].GetProperty("type").GetString(), events[^1].GetProperty("status").GetString()));
    }

    [Fact]
    public async Task Failures_bounce_or_are_dropped_each_recipient_by_itself()
    {
        await sandbox.Client.KnobsAsync("sendgrid", new { receipts = "failed" });
        var delivery = Guid.NewGuid().ToString();
        await SendAsync(delivery, [.. Enumerable.Range(0, 20).Select(i => $"a{i}@mail.example")]);
        var ends = await Eventually.Becomes(
            () => Task.FromResult(Events(delivery).Where(e => e.GetProperty("event").GetString() is "bounce" or "dropped").ToList()),
            e => e.Count == 20,
            "20 ends"
        );
        Assert.Equal(20, ends.Select(e => e.GetProperty("email").GetString()).Distinct().Count());
    }

    [Fact]
    public async Task A_post_that_is_not_taken_comes_again()
    {
        await sandbox.Client.KnobsAsync("sendgrid", new { });
        sandbox.Answers.Enqueue(503);
        var delivery = Guid.NewGuid().ToString();
        await SendAsync(delivery, "delivered@mail.example");
        await EventsAsync(delivery, 2);
    }

    private IEnumerable<JsonElement> Events(string delivery)
    {
        using var signature = SendGridSignature.From(sandbox.Account("sendGridWebhookPublicKey"))!;
        var events = new List<JsonElement>();
        foreach (var post in sandbox.Received(delivery))
        {
            Assert.EndsWith("/receipts/sendgrid", post.Url, StringComparison.Ordinal);
            var signed = (post.Header("X-Twilio-Email-Event-Webhook-Timestamp"), post.Header("X-Twilio-Email-Event-Webhook-Signature"));
            Assert.True(signature.IsValid(signed.Item1, post.Body, signed.Item2, TimeProvider.System.GetUtcNow()));
            events.AddRange(
                JsonSerializer
                    .Deserialize<List<JsonElement>>(post.Body)!
                    .Where(e => e.GetProperty("notify_delivery").GetString() == delivery)
            );
        }

        return events;
    }

    private async Task<List<JsonElement>> EventsAsync(string delivery, int count)
    {
        var events = await Eventually.Becomes(() => Task.FromResult(Events(delivery).ToList()), e => e.Count >= count, $"{count} events");
        Assert.Equal(count, events.Count);
        return events;
    }

    private async Task<string> SendAsync(string delivery, params string[] to)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, new Uri(sandbox.Url, "/v3/mail/send"))
        {
            Content = JsonContent.Create(
                new
                {
                    personalizations = to.Select(email => new
                    {
                        to = new[] { new { email } },
                        custom_args = new { notify_delivery = delivery },
                    }),
                    from = new { email = "x@sandbox.example" },
                    subject = "s",
                    content = new[] { new { type = "text/plain", value = "v" } },
                }
            ),
        };
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", sandbox.Account("sendGridApiKey"));
        using var response = await sandbox.Http.SendAsync(request, TestContext.Current.CancellationToken);
        Assert.Equal(202, (int)response.StatusCode);
        return Assert.Single(response.Headers.GetValues("X-Message-Id"));
    }
}
