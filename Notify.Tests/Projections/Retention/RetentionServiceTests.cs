namespace Notify.Tests.Projections.Retention;

using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.Payloads;
using Notify.Delivery.Receipts;
using Notify.Delivery.Retention;
using Notify.Delivery.Tracking;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Notify.Tests.Projections.Analytics;

public sealed class RetentionServiceTests(AnalyticsDatabase database) : IClassFixture<AnalyticsDatabase>
{
    private const string Old = "payloads_20260302",
        Next = "payloads_20260309";
    private static readonly DateTimeOffset Then = new(2026, 3, 4, 12, 0, 0, TimeSpan.Zero),
        Now = new(2026, 6, 1, 12, 0, 0, TimeSpan.Zero);
    private readonly FakeTimeProvider clock = new(Now);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Week_of_payloads_is_dropped_when_its_retention_is_over_and_nothing_open_refers_to_it()
    {
        await database.RowsAsync($"select notify.add_partitions('notify.payloads', '{Then:O}', 2) as made");
        var ended = new StoredPayload("n/c:ended", Then, 7, [1, 2, 3]);
        var waiting = new StoredPayload("n/c:waiting", Then, 7, [4, 5, 6]);
        var later = new StoredPayload("n/c:later", Then.AddDays(7), 7, [7, 8, 9]);
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        await PayloadTable.AddAsync(connection, [ended, waiting, later], Cancellation);
        await OpenDeliveryTable.AddAsync(connection, [OpenDelivery.Planning(waiting.Stream, Priority.Normal, Then, Now)], Cancellation);
        Assert.Equal([Old, Next], await PartitionsAsync(Old, Next));

        Assert.Empty(await RunAsync(new RetentionSettings())); // kept permanently
        Assert.Empty(await RunAsync(new RetentionSettings { Payloads = Now - Then.AddDays(3) })); // neither week is over
        // A delivery still waits for the older week.
        Assert.Equal([$"notify.{Next}"], await RunAsync(new RetentionSettings { Payloads = TimeSpan.FromDays(30) }));
        Assert.Equal(["n/c:ended", "n/c:waiting"], (await ReadAsync(ended, waiting, later)).Order());

        await OpenDeliveryTable.RemoveAsync(connection, [DeterministicId.OfPlanning(waiting.Stream)], Cancellation);
        var both = await Task.WhenAll(
            RunAsync(new RetentionSettings { Payloads = TimeSpan.FromDays(30) }),
            RunAsync(new RetentionSettings { Payloads = TimeSpan.FromDays(30) })
        );
        Assert.Equal([$"notify.{Old}"], both.SelectMany(d => d).Distinct());
        Assert.Empty(await ReadAsync(ended, waiting, later));
    }

    [Fact]
    public async Task Partitions_are_made_ahead_and_rows_of_no_partition_are_kept_by_the_default_one()
    {
        var straggler = new StoredPayload("n/c:straggler", new(2031, 1, 1, 0, 0, 0, TimeSpan.Zero), 7, [1]);
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        await PayloadTable.AddAsync(connection, [straggler], Cancellation);
        await RunAsync(new RetentionSettings());

        Assert.Equal(["payloads_20260601", "payloads_20260706"], await PartitionsAsync("payloads_20260601", "payloads_20260706"));
        clock.SetUtcNow(straggler.StoredAt);
        await RunAsync(new RetentionSettings { Payloads = TimeSpan.FromDays(1) }); // its week stays in the default partition
        Assert.Equal([straggler.Stream], await ReadAsync(straggler));
        Assert.Equal(["payloads_20310106"], await PartitionsAsync("payloads_20301230", "payloads_20310106"));
    }

    [Fact]
    public async Task Raw_texts_of_receipts_are_dropped_and_the_receipts_stay()
    {
        await database.RowsAsync($"select notify.add_partitions('notify.receipt_texts', '{Then:O}', 1) as made");
        var row = new ReceiptRow(
            "twilio",
            $"SM-{Guid.NewGuid():N}",
            Then,
            ReceiptModes.Live,
            ReportKind.Delivered,
            "SM",
            null,
            "n/c:receipts",
            new ReceiptFacts(Then),
            new Sealed("7.raw"),
            Now
        );
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        await ReceiptTable.PutAsync(connection, [row], Cancellation);
        // the first one is kept
        await ReceiptTable.PutAsync(connection, [row with { ReceivedAt = Now, Raw = new Sealed("7.again") }], Cancellation);
        Assert.Equal("7.raw", Assert.Single(await ReceiptTable.OfAsync(connection, row.Notification!, Cancellation)).Raw.Text);

        var settings = new RetentionSettings { ReceiptTexts = TimeSpan.FromDays(30) };
        Assert.Empty(await RunAsync(settings)); // it waits to be judged
        await ReceiptTable.PutAsync(connection, [row with { DueAt = null }], Cancellation);
        Assert.Equal(["notify.receipt_texts_20260302"], await RunAsync(settings));
        Assert.Equal(Sealed.None, Assert.Single(await ReceiptTable.OfAsync(connection, row.Notification!, Cancellation)).Raw);
    }

    [Fact]
    public async Task Tracked_links_lead_somewhere_until_their_week_is_dropped()
    {
        await database.RowsAsync($"select notify.add_partitions('notify.links', '{Then:O}', 1) as made");
        var (token, old) = ("abcdefghijklmnop", "0123456789abcdef");
        var link = new TrackedLink(token, Guid.NewGuid(), "n/c:links", 0, new Sealed("7.there"), Then);
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        await TrackedLinks.NoteAsync(connection, [link], Cancellation);
        await TrackedLinks.NoteAsync(connection, [link with { Destination = new Sealed("7.again") }], Cancellation); // another attempt
        await database.ExecuteAsync($"insert into notify.tracked_links values ('{old}', gen_random_uuid(), 'n/c:older', 0, '7.older')");

        Assert.Equal("7.there", (await TrackedLinks.FindAsync(connection, token, Cancellation))!.Destination.Text);
        Assert.Equal("7.older", (await TrackedLinks.FindAsync(connection, old, Cancellation))!.Destination.Text);
        Assert.Equal(["notify.links_20260302"], await RunAsync(new RetentionSettings { TrackedLinks = TimeSpan.FromDays(30) }));
        Assert.Null(await TrackedLinks.FindAsync(connection, token, Cancellation));
    }

    [Fact]
    public void Retention_of_less_than_a_day_is_refused()
    {
        var faults = new List<string>();
        var configuration = new ConfigurationBuilder()
            .AddInMemoryCollection(new Dictionary<string, string?> { ["Notify:Retention:Payloads"] = "00:10:00" })
            .Build();
        RetentionSettings.Read(configuration, faults);
        Assert.StartsWith("Notify:Retention:Payloads is 00:10:00; give a day or more", Assert.Single(faults), StringComparison.Ordinal);
    }

    private Task<IReadOnlyList<string>> RunAsync(RetentionSettings settings) =>
        new RetentionService(database.Source, settings, clock, NullLogger<RetentionService>.Instance).RunAsync(Cancellation);

    private async Task<List<string>> ReadAsync(params StoredPayload[] rows)
    {
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        return [.. (await PayloadTable.ReadAsync(connection, rows.Select(r => (r.Stream, r.Reference)), Cancellation)).Keys];
    }

    private async Task<List<string>> PartitionsAsync(params string[] names)
    {
        var found = new List<string>();
        foreach (var name in names.Order(StringComparer.Ordinal))
        {
            if ((await database.RowsAsync($"select 1 as found where to_regclass('notify.{name}') is not null")).Count > 0)
                found.Add(name);
        }

        return found;
    }
}
