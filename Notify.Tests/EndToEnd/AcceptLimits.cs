namespace Notify.Tests.EndToEnd;

using System.Globalization;
using System.Text.RegularExpressions;
using Notify.Tests.Support;

/// <summary>Clients that ask faster than they may.</summary>
public sealed partial class AcceptLimits : SystemTest
{
    [Fact]
    public async Task Client_over_the_limit_gets_Retry_After_and_keeps_its_event_ID()
    {
        using var client = await LimitedAsync(perSecond: 1, burst: 3);
        var person = await Installation.NewPersonAsync(devices: 0);
        var mark = NewId("limit");
        for (var i = 0; i < 3; i++)
        {
            var reply = (await client.SendAsync(Request($"{mark}-{i}", person))).Is(202);
            Assert.InRange(Fields(reply).Remaining, 2 - i, 3 - i);
        }

        var refused = await client.SendAsync(Request($"{mark}-over", person));
        refused.IsProblem(429, "rate_limited");
        Assert.InRange(refused.Headers.RetryAfter!.Delta!.Value, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(2));
        Assert.Equal(0, Fields(refused).Remaining);
        Assert.Equal(
            0,
            await Installation.ScalarAsync<long>("select count(*) from notify.event_ids where key like '%' || $1", $"{mark}-over")
        );

        await Eventually.Becomes(
            () => client.SendAsync(Request($"{mark}-over", person)),
            r => r.Status == 202,
            "after the pause it is accepted"
        );
        using var other = await LimitedAsync(perSecond: 1, burst: 3);
        (await other.SendAsync(Request($"{mark}-other", person))).Is(202); // each client has its own
    }

    [Fact]
    public async Task A_batch_counts_as_many_and_is_let_in_whole_or_not_at_all()
    {
        using var client = await LimitedAsync(perSecond: 1, burst: 10);
        var person = await Installation.NewPersonAsync(devices: 0);
        var mark = NewId("limit-batch");
        Assert.Equal(3, Fields((await BatchAsync(client, person, mark, 0, 7)).Is(200)).Remaining);

        var refused = await BatchAsync(client, person, mark, 7, 5);
        refused.IsProblem(429, "rate_limited");
        Assert.InRange(refused.Headers.RetryAfter!.Delta!.Value, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(2));
        Assert.Equal(
            7,
            await Installation.ScalarAsync<long>("select count(*) from notify.event_ids where key like '%' || $1 || '%'", mark)
        );

        var impossible = await BatchAsync(client, person, mark, 0, 11);
        impossible.IsProblem(429, "rate_limited");
        Assert.Contains("smaller", impossible["detail"], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Repeats_count_and_what_is_malformed_does_not()
    {
        using var client = await LimitedAsync(perSecond: 1, burst: 2);
        var person = await Installation.NewPersonAsync(devices: 0);
        var id = NewId("limit-repeat");
        for (var i = 0; i < 5; i++)
            (await client.SendAsync(new { eventId = "no content" })).IsProblem(400, "invalid_request");
        (await client.SendAsync(Request(id, person))).Is(202);
        (await client.SendAsync(Request(id, person))).Is(200);
        (await client.SendAsync(Request(id, person))).IsProblem(429, "rate_limited");
    }

    [Fact]
    public async Task Every_client_has_the_installation_s_limit_and_one_with_0_has_none()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var usual = (await Client.SendAsync(Request(NewId("limit-usual"), person))).Is(202);
        Assert.Equal("\"accept\";q=10000;w=2", usual.Headers.GetValues("RateLimit-Policy").Single());
        Assert.Equal("10000", usual.Headers.GetValues("RateLimit-Limit").Single());

        using var free = await LimitedAsync(perSecond: 0, burst: null);
        Assert.False((await free.SendAsync(Request(NewId("limit-none"), person))).Is(202).Headers.Contains("RateLimit"));
    }

    [Theory]
    [InlineData(-1, null)]
    [InlineData(null, 5)]
    [InlineData(0, 5)]
    [InlineData(5, 0)]
    public async Task A_limit_that_makes_no_sense_is_refused(int? perSecond, int? burst) =>
        (
            await Client.PostAsync(
                "/v1/clients",
                new
                {
                    name = "a test's",
                    mode = "live",
                    scopes = new[] { "send" },
                    acceptPerSecond = perSecond,
                    acceptBurst = burst,
                }
            )
        ).IsProblem(400, "invalid_request");

    // Both generations of rate-limit fields must have the same values.
    private static (int Remaining, int Reset) Fields(Reply reply)
    {
        var match = Current().Match(reply.Headers.GetValues("RateLimit").Single());
        Assert.True(match.Success);
        var (left, reset) = (match.Groups[1].Value, match.Groups[2].Value);
        Assert.Equal(
            (left, reset),
            (reply.Headers.GetValues("RateLimit-Remaining").Single(), reply.Headers.GetValues("RateLimit-Reset").Single())
        );
        return (int.Parse(left, CultureInfo.InvariantCulture), int.Parse(reset, CultureInfo.InvariantCulture));
    }

    [GeneratedRegex("^\"accept\";r=(\\d+);t=(\\d+)$")]
    private static partial Regex Current();

    private static object Request(string id, Person person) =>
        new
        {
            eventId = id,
            userId = person.Id,
            content = new { body = id },
        };

    private static Task<Reply> BatchAsync(NotifyClient client, Person person, string mark, int from, int count) =>
        client.PostAsync(
            "/v1/notifications/batch",
            new { notifications = Enumerable.Range(from, count).Select(i => Request($"{mark}-{i}", person)) }
        );

    private async Task<NotifyClient> LimitedAsync(int perSecond, int? burst)
    {
        var made = (
            await Client.PostAsync(
                "/v1/clients",
                new
                {
                    name = "a test's",
                    mode = "live",
                    scopes = new[] { "send" },
                    acceptPerSecond = perSecond,
                    acceptBurst = burst,
                }
            )
        ).Is(201);
        return new NotifyClient(Installation.ApiUrl, made["appKey"], made["appSecret"]);
    }
}
