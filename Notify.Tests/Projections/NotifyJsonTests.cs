namespace Notify.Tests.Projections;

using System.Text.Json;
using Notify.Delivery.EventStore;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Notify.Infrastructure.Json;

public class NotifyJsonTests
{
    private static readonly DateTimeOffset At = new(2026, 5, 4, 12, 0, 0, TimeSpan.Zero);

    // Events are kept permanently: every form that was written once must stay readable.
    [Fact]
    public void A_request_is_written_as_it_always_was() =>
        Assert.Equal(
            """{"clientId":"c","eventId":"e","userId":"u","subject":"u/u","mode":"live","category":"shipping","priority":"critical","channels":["push","sms"],"payload":"7.abc","expiresAt":"2026-05-04T12:00:00+00:00","requestHash":"h","at":"2026-05-04T12:00:00+00:00"}""",
            JsonSerializer.Serialize(
                new NotificationRequested(
                    "c",
                    "e",
                    "u",
                    "u/u",
                    ClientMode.Live,
                    "shipping",
                    Priority.Critical,
                    [Channel.Push, Channel.Sms],
                    new Sealed("7.abc"),
                    null,
                    At,
                    "h",
                    null,
                    At
                ),
                NotifyJson.Options
            )
        );

    [Fact]
    public void Every_event_comes_back_as_it_was_written()
    {
        var id = Guid.NewGuid();
        object[] events =
        [
            new DeliveriesPlanned(
                [new PlannedDelivery(id, Lane.Apns, "d", new Sealed("7.x"))],
                [new LeftOutDelivery(id, Channel.Email, null, "r", "rule")],
                3,
                At
            ),
            new DeliveryDeferred(id, At, "r", 2, "p", "c", At),
            new DispatchAttempted(id, 1, "p", At),
            new NotificationDispatched(id, 1, "p", "m", 7, null, At),
            new DuplicateDispatchDetected(id, 1, "p", "m", At),
            new NotificationDelivered(id, "s", At),
            new NotificationFailed(id, 1, "r", null, null, At),
            new DispatchOutcomeUnknown(id, 1, "p", "r", At, At),
            new DeliverySuppressed(id, "r", "rule", At),
            new DeliveryDeadLettered(id, 12, "r", "p", "c", At),
            new DeliveryRedriven(id, "r", "by", At),
            new NotificationRescheduled(At, "by", At),
            new NotificationOpened(id, "s", At),
        ];
        Assert.All(
            events,
            e =>
            {
                var json = JsonSerializer.Serialize(e, e.GetType(), NotifyJson.Options);
                Assert.Equal(
                    json,
                    JsonSerializer.Serialize(
                        JsonSerializer.Deserialize(json, e.GetType(), NotifyJson.Options),
                        e.GetType(),
                        NotifyJson.Options
                    )
                );
            }
        );
    }

    [Fact]
    public void Every_event_of_the_vocabulary_is_known_to_the_store()
    {
        var defined = typeof(NotificationRequested)
            .Assembly.GetTypes()
            .Where(t => t is { IsSealed: true, IsClass: true } && t.GetProperty("At")?.PropertyType == typeof(DateTimeOffset))
            .ToHashSet();
        Assert.Equal(defined.Select(t => t.Name).Order(), EventTypes.All.Select(t => t.Name).Order());
    }

    [Fact]
    public void Numbers_are_no_names() => Assert.Throws<JsonException>(() => JsonSerializer.Deserialize<Priority>("1", NotifyJson.Options));

    [Theory]
    [InlineData("2026-12-01T09:00:00+09:00", "2026-12-01T00:00:00")]
    [InlineData("2026-12-01T09:00:00.123456-03:30", "2026-12-01T12:30:00.123456")]
    [InlineData("2026-12-01T09:00:00Z", "2026-12-01T09:00:00")]
    [InlineData("2026-12-01T09:00:00+00:00", "2026-12-01T09:00:00")]
    [InlineData("2026-12-01T09:00:00", "2026-12-01T09:00:00")]
    [InlineData("2026-12-01T09:00", "2026-12-01T09:00:00")]
    [InlineData("2026-12-01", "2026-12-01T00:00:00")]
    public void A_time_is_read_into_UTC_whatever_offset_it_was_written_with(string written, string utc)
    {
        var expected = new DateTimeOffset(DateTime.Parse(utc, System.Globalization.CultureInfo.InvariantCulture), TimeSpan.Zero);
        foreach (
            var read in new[]
            {
                JsonSerializer.Deserialize<DateTimeOffset>($"\"{written}\"", NotifyJson.Options),
                JsonSerializer.Deserialize<DateTimeOffset?>($"\"{written}\"", NotifyJson.Options)!.Value,
            }
        )
            Assert.Equal((expected, TimeSpan.Zero), (read, read.Offset));
        Assert.Equal(
            JsonSerializer.Serialize(expected),
            JsonSerializer.Serialize(expected.ToOffset(TimeSpan.FromHours(9)), NotifyJson.Options)
        );
    }

    [Theory]
    [InlineData("0001-01-01T00:00:00+09:00")]
    [InlineData("9999-12-31T23:59:59-01:00")]
    [InlineData("yesterday")]
    public void Unrepresentable_or_malformed_time_is_rejected(string written) =>
        Assert.Throws<JsonException>(() => JsonSerializer.Deserialize<DateTimeOffset>($"\"{written}\"", NotifyJson.Options));

    [Fact]
    public void Encrypted_value_is_not_shown_as_text() => Assert.Equal("(sealed)", $"{new Sealed("7.abc")}");
}
