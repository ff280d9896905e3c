namespace Notify.Tests.Dispatch;

using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Time.Testing;
using Notify.Delivery.DeliveryQueue;
using Notify.Dispatch.Dispatching;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Providers.Email;
using Notify.Dispatch.Providers.Email.SendGrid;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using static Notify.Tests.Dispatch.ScriptedServer;

/// <summary>Mails of the same words go in one request, and each keeps an outcome of its own.</summary>
public sealed class SendGridBatchTests : IAsyncDisposable
{
    private static readonly NotificationContent News = new("News", "The same words", "<p>The same words</p>");
    private ScriptedServer? server;
    private SendGridProvider? provider;

    public async ValueTask DisposeAsync()
    {
        provider?.Dispose();
        if (server is not null)
            await server.DisposeAsync();
    }

    [Fact]
    public async Task A_thousand_go_in_one_request()
    {
        var outcomes = await SendAsync(Answer(202, "", ("X-Message-Id", "m-1")), [.. Enumerable.Range(0, 1000).Select(_ => Message())]);
        Assert.All(outcomes, o => Assert.Equal(new AttemptOutcome.Accepted("m-1"), o));
        Assert.Equal(1000, Places(Assert.Single(server!.Received)).Count);
    }

    [Fact]
    public async Task Whom_a_refusal_names_is_left_out_and_the_others_go_again()
    {
        OutboundMessage[] messages = [Message(), Message(), Message(), Message()];
        var outcomes = await SendAsync(
            InTurn(
                Answer(400, Errors("personalizations.1.to.0.email", "personalizations.3.to.0.email")),
                Answer(202, "", ("X-Message-Id", "m-2"))
            ),
            messages
        );
        Assert.Equal(
            [
                new AttemptOutcome.Accepted("m-2"),
                new AttemptOutcome.Rejected(Reasons.BadAddress, "400 personalizations.1.to.0.email"),
                new AttemptOutcome.Accepted("m-2"),
                new AttemptOutcome.Rejected(Reasons.BadAddress, "400 personalizations.1.to.0.email"),
            ],
            outcomes
        );
        Assert.Equal(
            [messages[0].DeliveryId, messages[2].DeliveryId],
            Places(server!.Received[1]).Select(p => Guid.Parse(p!["custom_args"]!["notify_delivery"]!.ToString()))
        );
    }

    [Theory]
    [InlineData("""{"errors":[{"message":"m"}]}""", false)]
    [InlineData("<html>", true)] // a gateway's
    public async Task Whom_a_refusal_does_not_name_is_found_by_halves(string refusal, bool isTriedAgain)
    {
        var bad = Message();
        OutboundMessage[] messages = [.. Enumerable.Range(0, 8).Select(i => i == 5 ? bad : Message())];
        var outcomes = await SendAsync(
            async (number, context) =>
            {
                var refused = server!.Received[number - 1].Body.Contains(bad.DeliveryId.ToString(), StringComparison.Ordinal);
                context.Response.StatusCode = refused ? 400 : 202;
                context.Response.Headers["X-Message-Id"] = "m-1";
                await context.Response.WriteAsync(refused ? refusal : "");
            },
            messages
        );
        Assert.Equal(messages.Select(m => m != bad), outcomes.Select(o => o is AttemptOutcome.Accepted));
        Assert.Equal(
            isTriedAgain ? new AttemptOutcome.Retry(Reasons.Retry, "400") : new AttemptOutcome.Rejected(Reasons.Rejected, "400"),
            outcomes[5]
        );
        // 8, 4+4, 2+2, 1+1: each accepted message was in one accepted request.
        Assert.Equal(7, server!.Received.Count);
    }

    [Theory]
    [InlineData(400, "from.email", typeof(AttemptOutcome.Halted))]
    [InlineData(400, "content.0.value", typeof(AttemptOutcome.Rejected))]
    [InlineData(429, null, typeof(AttemptOutcome.Retry))]
    [InlineData(500, null, typeof(AttemptOutcome.Unknown))]
    [InlineData(500, "personalizations", typeof(AttemptOutcome.Retry))]
    [InlineData(502, null, typeof(AttemptOutcome.Unknown))]
    public async Task Fault_of_the_whole_batch_is_the_outcome_of_each_message_after_one_request(int status, string? field, Type expected)
    {
        var outcomes = await SendAsync(Answer(status, field is null ? "" : Errors(field)), [Message(), Message(), Message()]);
        Assert.All(outcomes, o => Assert.IsType(expected, o));
        Assert.Single(server!.Received);
    }

    [Fact]
    public async Task A_broken_connection_leaves_all_of_them_unknown_and_repeats_none()
    {
        var outcomes = await SendAsync(Break, [Message(), Message()]);
        Assert.All(outcomes, o => Assert.Equal(new AttemptOutcome.Unknown(Reasons.ConnectionLost), o));
        Assert.Single(server!.Received);
    }

    [Fact]
    public async Task Invalid_address_does_not_affect_other_messages()
    {
        var outcomes = await SendAsync(
            Answer(202, "", ("X-Message-Id", "m-1")),
            [Message(), Message() with { Address = "a@.." }, Message()]
        );
        Assert.Equal([true, false, true], outcomes.Select(o => o is AttemptOutcome.Accepted));
        Assert.Equal(2, Places(Assert.Single(server!.Received)).Count);
    }

    [Fact]
    public void Equal_words_share_a_call_up_to_the_providers_most_and_nothing_else_does()
    {
        Use(new Uri("http://127.0.0.1:1"), most: 3);
        var other = new StubSender();
        ClaimedDelivery[] slice =
        [
            .. Enumerable.Range(0, 7).Select(_ => Claimed(provider!, Message())),
            Claimed(provider!, Message(new NotificationContent("Another", "The same words", "<p>The same words</p>"))),
            Claimed(provider!, Message(new NotificationContent("News", "Other words"))),
            Claimed(provider!, Message(News with { Attachments = [new EmailAttachment("a.txt", "text/plain", [1])] })),
            Claimed(provider!, Message()) with
            {
                Ask = DateTimeOffset.UnixEpoch,
            },
            Claimed(other, Message()),
            Claimed(other, Message()),
        ];
        var calls = SharedCalls.Of(slice);
        // 3 + 3 + 1 and the other subject, then each alone.
        Assert.Equal([3, 3, 2, 1, 1, 1, 1, 1], calls.Select(c => c.Count));
        Assert.Equal(slice.Length, calls.SelectMany(c => c).Distinct().Count());
        Assert.All(calls, c => Assert.Single(c.Select(d => d.Provider).Distinct()));
    }

    [Fact]
    public async Task Mails_with_tracked_links_of_their_own_go_together_and_each_has_its_own()
    {
        var messages = Enumerable.Range(0, 3).Select(i => Tracked($"a{i}", links: 2)).ToList();
        Assert.Single(messages.Select(m => SendGridMail.SharedBy(m)).Distinct());

        await SendAsync(Answer(202, "", ("X-Message-Id", "m-1")), messages);

        var mail = JsonNode.Parse(Assert.Single(server!.Received).Body)!;
        Assert.DoesNotContain("n.example", mail["content"]!.ToJsonString(), StringComparison.Ordinal);
        Assert.Equal(
            messages.Select(m => (m.Content.Body, m.Content.Html)),
            mail["personalizations"]!
                .AsArray()
                .Select(p =>
                    (
                        (string?)Put(p!, mail["content"]![0]!["value"]!.ToString()),
                        (string?)Put(p!, mail["content"]![1]!["value"]!.ToString())
                    )
                )
        );

        static string Put(JsonNode personalization, string text) =>
            personalization["substitutions"]!
                .AsObject()
                .Aggregate(text, (t, tag) => t.Replace(tag.Key, tag.Value!.ToString(), StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_tracked_mail_alone_and_one_with_too_many_links_or_with_a_mark_of_ours_need_no_replacing()
    {
        OutboundMessage many = Tracked("many", links: 200),
            marked = Tracked("marked", links: 1);
        marked = marked with { Content = marked.Content with { Title = "-notify-link-0-" } };
        Assert.Equal((many.Content.Body ?? "", many.Content.Html ?? "", (string?)null, (string?)null), SendGridMail.SharedBy(many));
        Assert.Equal((marked.Content.Body ?? "", marked.Content.Html ?? "", (string?)null, (string?)null), SendGridMail.SharedBy(marked));

        var one = Tracked("one", links: 2);
        await SendAsync(Answer(202, "", ("X-Message-Id", "m-1")), [one]);

        var mail = JsonNode.Parse(Assert.Single(server!.Received).Body)!;
        Assert.Null(mail["personalizations"]![0]!["substitutions"]);
        Assert.Equal(one.Content.Html, mail["content"]![1]!["value"]!.ToString());
    }

    // As the link rewriter leaves it: the same words, and addresses of its own.
    private static OutboundMessage Tracked(string token, int links)
    {
        var own = Enumerable
            .Range(0, links)
            .Select(i => $"https://n.example/t/{token}-{i:0000}-with-more-characters")
            .Append($"https://n.example/o/{token}")
            .ToList();
        var content = new NotificationContent(
            "News",
            string.Join('\n', own.SkipLast(1)),
            string.Concat(own.SkipLast(1).Select(l => $"<a href=\"{l}\">x</a>")) + $"<img src=\"{own[^1]}\">"
        );
        return Message(content) with { Links = own };
    }

    private async Task<IReadOnlyList<AttemptOutcome>> SendAsync(Script script, IReadOnlyList<OutboundMessage> messages)
    {
        server = await Http1Async(script);
        Use(server.Url);
        return await provider!.SendManyAsync(messages, TestContext.Current.CancellationToken);
    }

    private void Use(Uri url, int most = 1000)
    {
        Assert.True(EmailSender.TryParse("news@example.com", out var from));
        provider = new SendGridProvider(
            new SendGridOptions
            {
                ApiKey = "SG.key",
                BaseUrl = url,
                MaxRecipients = most,
            },
            from,
            new FakeTimeProvider()
        );
    }

    private static ClaimedDelivery Claimed(IDeliveryProvider by, OutboundMessage message) =>
        new(
            new OpenDelivery(
                message.DeliveryId,
                "n/c:e",
                new DeliveryQueue(Lane.Email, Priority.Normal),
                OpenState.InFlight,
                0,
                default,
                null
            ),
            Guid.Empty,
            new Notification(
                "n/c:e",
                new NotificationRequested(
                    "c",
                    "e",
                    null,
                    "u/x",
                    ClientMode.Live,
                    "news",
                    Priority.Normal,
                    null,
                    new Sealed("1.x"),
                    null,
                    null,
                    "",
                    null,
                    default
                ),
                [],
                true,
                null
            ),
            new Delivery(message.DeliveryId, Channel.Email, Lane.Email, DeliveryStatus.Queued),
            message,
            1,
            by,
            null
        );

    private static IReadOnlyList<JsonNode?> Places(ReceivedRequest request) =>
        [.. JsonNode.Parse(request.Body)!["personalizations"]!.AsArray()];

    private static string Errors(params string[] fields) =>
        new JsonObject
        {
            ["errors"] = new JsonArray([.. fields.Select(f => new JsonObject { ["message"] = "no", ["field"] = f })]),
        }.ToJsonString();

    private static OutboundMessage Message(NotificationContent? content = null)
    {
        var id = Guid.NewGuid();
        return new OutboundMessage(id, $"{id:N}@mail.example", content ?? News, Priority.Normal, null);
    }

    private sealed class StubSender : IDeliveryProvider
    {
        public string Name => "stub";

        public Lane Lane => Lane.Email;

        public int Concurrency => 1;

        public Task<AttemptOutcome> SendAsync(OutboundMessage message, CancellationToken cancellation) => throw new NotSupportedException();
    }
}
