namespace Notify.Tests.Sandbox;

using System.Text.Json;
using System.Text.Json.Nodes;
using Notify.Dispatch.Providers.Email.Mailchimp;
using Notify.Dispatch.Receipts;
using Notify.Tests.Support;

/// <summary>The sandbox's Mailchimp Transactional: a word for each recipient, errors by name, signed webhooks.</summary>
[Collection(PlayedSandboxCollection.Name)]
public sealed class MailchimpPlayed(PlayedSandbox sandbox)
{
    [Fact]
    public async Task Each_recipient_has_a_word_and_an_entry_of_its_own()
    {
        var mark = Guid.NewGuid().ToString("N");
        var answer = await SendAsync(mark, 200, null, "a@mail.example", "failed@mail.example", "nobody@mail");

        Assert.Equal(["sent", "rejected", "invalid"], answer.EnumerateArray().Select(r => r.GetProperty("status").GetString()));
        Assert.Equal("rule", answer[1].GetProperty("reject_reason").GetString());
        var entries = await sandbox.Client.LedgerAsync(mark);
        Assert.Equal(
            [("a@mail.example", "accepted"), ("failed@mail.example", "rule"), ("nobody@mail", "invalid")],
            entries.Select(e => (e.To!, e.Outcome))
        );
        Assert.Equal(answer.EnumerateArray().Select(r => r.GetProperty("_id").GetString()), entries.Select(e => e.MessageId));
        Assert.Equal($"Hello\n{mark}", entries[0].Text);
        Assert.DoesNotContain(
            sandbox.Account("mailchimpApiKey"),
            string.Concat(entries.Select(e => e.Json.ToJsonString())),
            StringComparison.Ordinal
        );
        Assert.Equal(
            "queued",
            (await SendAsync(mark, 200, null, [.. Enumerable.Range(0, 11).Select(i => $"b{i}@mail.example")]))[10]
                .GetProperty("status")
                .GetString()
        );
    }

    [Theory]
    [InlineData("key", "\"other\"", "Invalid_Key")]
    [InlineData("message", null, "ValidationError")]
    [InlineData("message/to", "[]", "ValidationError")]
    [InlineData("message/to/0/email", "\"a\"", "ValidationError")]
    [InlineData("message/to/0/type", "\"from\"", "ValidationError")]
    [InlineData("message/from_email", null, "ValidationError")]
    [InlineData("message/subject", "\"a\\nBcc: b@mail.example\"", "ValidationError")]
    [InlineData("message/important", "\"yes\"", "ValidationError")]
    [InlineData("message/subaccount", "\"s\"", "Unknown_Subaccount")]
    [InlineData("send_at", "\"tomorrow\"", "ValidationError")]
    public async Task An_error_has_a_name(string path, string? value, string name)
    {
        var error = await SendAsync(
            "x",
            null,
            mail =>
            {
                var names = path.Split('/');
                var of = names[..^1].Aggregate((JsonNode)mail, (node, n) => node is JsonArray ? node[int.Parse(n)]! : node[n]!);
                if (value is null)
                    of.AsObject().Remove(names[^1]);
                else
                    of[names[^1]] = JsonNode.Parse(value);
            },
            "a@mail.example"
        );
        Assert.Equal(("error", name), (error.GetProperty("status").GetString(), error.GetProperty("name").GetString()));
    }

    [Fact]
    public async Task Mail_from_a_domain_that_is_not_verified_is_unsigned() =>
        Assert.Equal(
            "unsigned",
            (await SendAsync("x", 200, mail => mail["message"]!["from_email"] = "x@elsewhere.example", "a@mail.example"))[0]
                .GetProperty("reject_reason")
                .GetString()
        );

    [Theory]
    [InlineData("delivered", "a", "send delivered")]
    [InlineData("shuffled", "a", "delivered send")]
    [InlineData("repeated", "a", "send send delivered delivered")]
    [InlineData("none", "delivered", "send delivered")]
    [InlineData("none", "opened", "send delivered open")]
    [InlineData("none", "bounced", "send hard_bounce")]
    public async Task Events_follow_as_the_knob_or_the_recipient_says(string knob, string who, string wanted)
    {
        await sandbox.Client.KnobsAsync("mailchimp", new { receipts = knob });
        var id = (await SendAsync("x", 200, null, $"{who}@mail.example"))[0].GetProperty("_id").GetString()!;
        var events = await Eventually.Becomes(
            () => Task.FromResult(Events(id)),
            e => e.Count >= wanted.Split(' ').Length,
            $"events of {id}"
        );

        Assert.Equal(wanted, string.Join(' ', events.Select(e => e.GetProperty("event").GetString())));
        Assert.All(
            events,
            e => Assert.Equal("d-1", e.GetProperty("msg").GetProperty("metadata").GetProperty("notify_delivery").GetString())
        );
    }

    private List<JsonElement> Events(string id)
    {
        var events = new List<JsonElement>();
        foreach (var post in sandbox.Received(id))
        {
            Assert.True(
                MailchimpSignature.IsValid(
                    sandbox.Account("mailchimpWebhookKey"),
                    $"{sandbox.WebhookBase}/receipts/mailchimp",
                    post.Body,
                    post.Header("X-Mandrill-Signature")
                )
            );
            events.AddRange(
                JsonSerializer
                    .Deserialize<List<JsonElement>>(Assert.Single(Signatures.Form(post.Body)).Value)!
                    .Where(e => e.GetProperty("_id").GetString() == id)
            );
        }

        return events;
    }

    private async Task<JsonElement> SendAsync(string text, int? status, Action<JsonNode>? shape, params string[] to)
    {
        var mail = new JsonObject
        {
            ["key"] = sandbox.Account("mailchimpApiKey"),
            ["message"] = new JsonObject
            {
                ["from_email"] = "x@sandbox.example",
                ["subject"] = "Hello",
                ["text"] = text,
                ["metadata"] = new JsonObject { ["notify_delivery"] = "d-1" },
                ["to"] = new JsonArray([.. to.Select(email => new JsonObject { ["email"] = email, ["type"] = "to" })]),
            },
        };
        shape?.Invoke(mail);
        using var response = await sandbox.Http.PostAsync(
            new Uri(sandbox.Url, "/api/1.0/messages/send.json"),
            new StringContent(mail.ToJsonString(), null, "application/json"),
            TestContext.Current.CancellationToken
        );
        if (status is { } wanted)
            Assert.Equal(wanted, (int)response.StatusCode);
        else
            Assert.NotEqual(200, (int)response.StatusCode);
        return JsonSerializer.Deserialize<JsonElement>(await response.Content.ReadAsByteArrayAsync(TestContext.Current.CancellationToken));
    }
}
