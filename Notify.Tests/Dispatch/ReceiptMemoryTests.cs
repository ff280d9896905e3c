namespace Notify.Tests.Dispatch;

using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Configuration;
using Notify.Dispatch;
using Notify.Dispatch.Receipts;

/// <summary>The memory that one post of receipts takes, by the bytes that reading it allocates.</summary>
public sealed class ReceiptMemoryTests
{
    private const string Form = "application/x-www-form-urlencoded",
        Json = "application/json";
    private static readonly IConfigurationSection Settings = new ConfigurationBuilder()
        .AddInMemoryCollection(
            Adapters.Receipts.Values.DistinctBy(s => s.KeySetting).Select(s => KeyValuePair.Create($"P:{s.KeySetting}", (string?)"secret"))
        )
        .Build()
        .GetSection("P");

    /// <summary>Unsigned forms and JSON: they are parsed before the signature is known.</summary>
    [Theory]
    [InlineData("a&", Form)]
    [InlineData("a=b&", Form)]
    [InlineData("%41", Form)]
    [InlineData("+", Form)]
    [InlineData("[", Json)]
    [InlineData("{\"a\":", Json)]
    public async Task Unsigned_post_of_the_largest_size_takes_no_more_than_was_reserved(string part, string type)
    {
        foreach (var source in Adapters.Receipts.Values)
        {
            var body = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat(part, source.MaxBytes / part.Length)));
            var post = PostOf(body, type);
            await source.IsValidAsync(Settings, post, DateTimeOffset.UnixEpoch); // a first call makes what later ones share
            var before = GC.GetAllocatedBytesForCurrentThread();
            Assert.False(await source.IsValidAsync(Settings, post, DateTimeOffset.UnixEpoch));
            Assert.False(source.IsTrial(post));
            var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            TestContext.Current.TestOutputHelper?.WriteLine(
                $"{source.Name}: {allocated / 1024:N0} KiB for {body.Length / 1024:N0} KiB, {(double)allocated / body.Length:0.0} times"
            );
            Assert.InRange(allocated, 0, ReceiptBudget.Of(body.Length));
        }
    }

    [Theory]
    [InlineData("sendgrid", """{"event":"a","sg_event_id":"b"}""", Json)]
    [InlineData("mailchimp", "{}", Form)]
    public void Post_with_more_receipts_than_are_kept_at_a_time_is_refused_as_a_whole(string provider, string item, string type)
    {
        var source = Adapters.Receipts[provider];
        Assert.Equal(ReadReceipts.Max, source.Read(Of(ReadReceipts.Max)).Receipts.Count);
        Assert.Same(ReadReceipts.TooMany, source.Read(Of(ReadReceipts.Max + 1)));

        ReceiptPost Of(int count) =>
            PostOf(
                Encoding.UTF8.GetBytes($"{(type == Form ? "mandrill_events=" : "")}[{string.Join(',', Enumerable.Repeat(item, count))}]"),
                type
            );
    }

    [Theory]
    [InlineData("sendgrid", """[{"event":"a","sg_event_id":"b","reason":"*"}]""", Json)]
    [InlineData("mailchimp", """mandrill_events=[{"event":"send","diag":"*"}]""", Form)]
    public void Receipt_larger_than_any_of_a_provider_is_not_kept(string provider, string item, string type)
    {
        var read = Adapters
            .Receipts[provider]
            .Read(
                PostOf(
                    Encoding.UTF8.GetBytes(item.Replace("*", new string('x', ReceiptEndpoints.MaxBytesOfOne), StringComparison.Ordinal)),
                    type
                )
            );
        Assert.Equal("an event is too large", read.Fault);
    }

    [Fact]
    public void Budget_holds_four_of_the_largest_posts_with_their_copies()
    {
        var budget = new ReceiptBudget();
        for (var i = 0; i < 4; i++)
            Assert.True(budget.TryReserve(ReceiptBudget.Of(ReceiptEndpoints.MaxBytes)));
        Assert.False(budget.TryReserve(ReceiptBudget.Of(1)));
    }

    private static ReceiptPost PostOf(byte[] body, string type) =>
        new(
            HttpMethod.Post,
            ["https://notify.example/receipts/x"],
            new QueryCollection(),
            "",
            new HeaderDictionary { ["X-Mandrill-Signature"] = "x", ["X-Twilio-Signature"] = "x" },
            type,
            body
        );
}
