namespace Notify.Tests.Sandbox;

using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Time.Testing;
using Notify.Sandbox.Access;
using Notify.Sandbox.Ledger;
using Notify.Sandbox.Twilio;

/// <summary>The sandbox shows all that was sent only to its own machine or by its key, and for a time.</summary>
public sealed class SandboxAccessTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("notify-ledger-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Theory]
    [InlineData(null, "127.0.0.1", null, true)]
    [InlineData(null, "[::1]", null, true)]
    [InlineData(null, "localhost", null, true)]
    [InlineData("", "0.0.0.0", null, false)]
    [InlineData(null, "+", "Bearer anything", false)]
    [InlineData(null, "192.168.0.7", null, false)]
    [InlineData("k3y", "127.0.0.1", null, false)]
    [InlineData("k3y", "0.0.0.0", "Bearer k3y", true)]
    [InlineData("k3y", "0.0.0.0", "Bearer k3y2", false)]
    [InlineData("k3y", "0.0.0.0", "Basic OmszeQ==", true)]
    [InlineData("k3y", "0.0.0.0", "Basic azN5", false)]
    [InlineData("k3y", "0.0.0.0", "Basic !", false)]
    public void Ledger_is_open_to_the_key_and_without_one_on_the_machine_itself(string? key, string host, string? header, bool passes)
    {
        var http = new DefaultHttpContext();
        if (header is not null)
            http.Request.Headers.Authorization = header;
        Assert.Equal(passes, new ControlKey(key, host).Check(http.Request) is null);
    }

    [Fact]
    public void Entries_go_with_their_time_in_memory_and_on_disk()
    {
        var clock = new FakeTimeProvider(new DateTimeOffset(2026, 5, 4, 12, 0, 0, TimeSpan.Zero));
        using (var files = LedgerFiles.Open(folder).Files!)
        {
            var ledger = new RequestLedger([new TwilioDialect()], files, new LedgerAge(TimeSpan.FromDays(1)));
            Record(ledger, clock, "first");
            clock.Advance(TimeSpan.FromHours(23));
            Record(ledger, clock, "second");
            ledger.Expire(clock.GetUtcNow());
            Assert.Equal((1, 1), (Mentions(ledger, "first"), Mentions(ledger, "second")));
            clock.Advance(TimeSpan.FromHours(2));
            ledger.Expire(clock.GetUtcNow());
            Assert.Equal((0, 1), (Mentions(ledger, "first"), Mentions(ledger, "second")));
            Assert.DoesNotContain("first", OnDisk(), StringComparison.Ordinal);
            clock.Advance(TimeSpan.FromHours(23));
            ledger.Expire(clock.GetUtcNow());
            Assert.Empty(Directory.GetFiles(folder, "*.ledger"));
            Record(ledger, clock, "third");
        }

        using var again = LedgerFiles.Open(folder).Files!;
        var after = new RequestLedger([new TwilioDialect()], again, new LedgerAge(TimeSpan.FromDays(1)));
        Assert.Equal((0, 1), (Mentions(after, "second"), Mentions(after, "third")));
        Assert.Equal(3, after.Count()["twilio"].Received); // also of those that went
    }

    private static void Record(RequestLedger ledger, TimeProvider clock, string text) =>
        ledger.Record(
            new LedgerEntry(0, clock.GetUtcNow(), "POST", "/2010-04-01/x", new HeaderDictionary()),
            Encoding.UTF8.GetBytes($"Body={text}"),
            "SM1",
            "accepted"
        );

    private static long Mentions(RequestLedger ledger, string text) => ledger.Count(new TextQuery(text))["twilio"].Received;

    private string OnDisk() =>
        string.Concat(Directory.GetFiles(folder, "*.ledger").Select(f => Encoding.Latin1.GetString(File.ReadAllBytes(f))));
}
