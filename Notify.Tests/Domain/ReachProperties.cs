namespace Notify.Tests.Domain;

using System.Collections.Immutable;
using FsCheck;
using FsCheck.Fluent;
using Notify.Domain.Categories;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using static Notify.Tests.Domain.Some;

/// <summary>
/// A person's days, in simulated time: they change their mind, hours turn quiet, categories are laid down anew and messages come,
/// in any order. Nothing opted out is sent, nothing required is held back, nobody is disturbed, and no cap is exceeded.
/// </summary>
public sealed class ReachProperties
{
    private sealed record Send(Priority Priority, int ExpiresIn, int Late);

    private sealed record Days(ImmutableList<Cap> Caps, ImmutableList<(int Minutes, object What)> Steps);

    private static Gen<Cap> Caps =>
        from channel in Gen.Elements(Enum.GetValues<Channel>())
        from limit in Gen.Choose(1, 3)
        from per in Gen.Elements(Enum.GetValues<CapPeriod>())
        from exceeding in Gen.Elements(Enum.GetValues<CapExceeding>())
        select new Cap(channel, limit, per, exceeding);

    private static Gen<object> Message =>
        from critical in Gen.Frequency((5, Gen.Constant(false)), (1, Gen.Constant(true)))
        from expires in Gen.Frequency((4, Gen.Constant(0)), (1, Gen.Choose(1, 2000)))
        from late in Gen.Frequency((4, Gen.Constant(0)), (2, Gen.Choose(1, 200)), (1, Gen.Choose(200, 9000)))
        select (object)new Send(critical ? Priority.Critical : Priority.Normal, expires, late);

    private static Gen<(int, object)> Step =>
        from minutes in Gen.Frequency((1, Gen.Constant(0)), (3, Gen.Choose(0, 60)), (1, Gen.Choose(60, 900)))
        from what in Gen.Frequency((1, PreferenceProperties.Step), (3, Message))
        select (minutes, what);

    private static Arbitrary<Days> Any =>
        Arb.From(
            from caps in Gen.ListOf(Caps)
            from steps in Gen.ListOf(Step)
            select new Days([.. caps.DistinctBy(c => (c.Channel, c.Per))], [.. steps])
        );

    [Fact]
    public void People_receive_exactly_the_intended_messages_in_any_order_of_events() =>
        Check.One(Config.QuickThrowOnFailure.WithMaxTest(1000).WithEndSize(60), Prop.ForAll(Any, days => new Life(days).Holds()));

    private sealed class Life(Days days)
    {
        private readonly Dictionary<CapKey, CapCount> counts = [];
        private readonly Dictionary<string, List<object>> streams = [];
        private readonly HashSet<string> passing = [];
        private readonly List<(DateTimeOffset At, string Key, Channel Channel)> sent = [];
        private readonly SortedSet<(DateTimeOffset At, int Order, string Key, Guid Id)> waiting = [];
        private ImmutableList<object> said =
        [
            new CategoryDefined("shipping", false, new Dictionary<string, bool>(), UnknownOutcome.Hold, "c", Noon, days.Caps),
        ];
        private DateTimeOffset now = Noon;
        private int order;

        public bool Holds()
        {
            foreach (var (minutes, what) in days.Steps)
            {
                PassTo(now.AddMinutes(minutes));
                if (what is Send send)
                    Plan(send);
                else
                    said = said.Add(what is CategoryDefined defined ? defined with { Caps = days.Caps } : what);
            }

            PassTo(now.AddDays(90));
            Assert.Empty(waiting);
            foreach (var cap in days.Caps)
            foreach (var window in sent.Where(s => s.Channel == cap.Channel).GroupBy(s => CapWindows.Of(cap.Per, s.At)))
            {
                var stoppable = window.Select(s => s.Key).Distinct().Count(k => !passing.Contains(k));
                Assert.True(stoppable <= cap.Limit, $"{stoppable} of {cap} in {CapWindows.StartOf(cap.Per, window.Key)}");
            }

            return true;
        }

        private void Plan(Send send)
        {
            var key = $"n/c_shop:{streams.Count}";
            var request = Requested(priority: send.Priority, expiresAt: send.ExpiresIn == 0 ? null : now.AddMinutes(send.ExpiresIn));
            var truth = PreferenceProperties.After(said);
            var category = truth.Rules.Of(request);
            var plan = DeliveryPlanner.ForUser(
                key,
                request,
                new NotificationContent("a", "b"),
                truth.Recipient,
                truth.Rules,
                AddressOf,
                now
            );
            Know(plan.Deliveries.Select(d => Lanes.ChannelOf(d.Lane)), category);
            var (held, putOff) = CapDecider.Decide(request, plan, category, _ => "u/u-1", counts, Quiet(request, truth), now);

            if (truth.IsRequired)
                Assert.True(held.LeftOut.Count == 0 && putOff.Count == 0 && held.Deliveries.Count == 3);
            if (truth.IsRequired || send.Priority == Priority.Critical)
                passing.Add(key);
            Assert.All(putOff, p => Assert.False(string.IsNullOrEmpty(p.Rule)));
            streams[key] = [request, held, .. putOff];
            foreach (var d in held.Deliveries)
                waiting.Add(((putOff.FirstOrDefault(p => p.DeliveryId == d.Id)?.Until ?? now).AddMinutes(send.Late), order++, key, d.Id));
        }

        // A due delivery is sent at its time, or later while its provider is unavailable, unless the last check stops it.
        private void PassTo(DateTimeOffset time)
        {
            while (waiting.Count > 0 && waiting.Min.At <= time)
            {
                var (at, _, key, id) = waiting.Min;
                waiting.Remove(waiting.Min);
                now = at > now ? at : now;
                LastCheck(key, id);
            }

            now = time;
        }

        private void LastCheck(string key, Guid id)
        {
            var n = Notify.Domain.Notifications.Notification.Fold(key, streams[key])!;
            var (d, truth) = (n.Deliveries[id], PreferenceProperties.After(said));
            if (NotificationDecider.LastCheck(n, d, truth.Recipient, truth.Rules, null, now) is { } ended)
            {
                Assert.False(truth.IsRequired && ended is not NotificationExpired);
                Assert.True(ended is NotificationExpired || !truth.Wants(d.Channel));
                streams[key].Add(ended);
                return;
            }

            var quiet = Quiet(n.Request, truth);
            var category = truth.Rules.Of(n.Request);
            if (quiet(now) is null && !CapDecider.IsPlacePast(d.Channel, category, d.PlaceAt, now))
            {
                Leave();
                return;
            }

            Know([d.Channel], category);
            List<DateTimeOffset> held =
            [
                .. n.Deliveries.Values.Where(s => s.Channel == d.Channel).Select(s => s.PlaceAt).OfType<DateTimeOffset>(),
            ];
            var place = CapDecider.Take(n.Request, d.Channel, category, "u/u-1", counts, held, quiet, now);
            switch (place)
            {
                case { At: null }:
                    Assert.False(truth.IsRequired);
                    streams[key].Add(new DeliverySuppressed(id, place.Reason!, place.Rule, now));
                    break;
                case { Reason: null }:
                    streams[key].Add(new CapPlaceMoved(id, "late", now));
                    if (truth.IsRequired)
                        passing.Add(key); // its category has become so since it was planned
                    Leave();
                    break;
                case { At: { } later }:
                    Assert.True(later > now);
                    streams[key].Add(new DeliveryDeferred(id, later, place.Reason!, 0, null, null, now, place.Rule));
                    waiting.Add((later, order++, key, id));
                    break;
            }

            void Leave()
            {
                Assert.True(truth.IsRequired || (truth.Wants(d.Channel) && !truth.IsQuiet(now)));
                Assert.True(n.Request.ExpiresAt is not { } end || now < end);
                sent.Add((now, key, d.Channel));
                streams[key].Add(new NotificationDispatched(id, 1, "any", "id", 1, "hash", now));
            }
        }

        private static Func<DateTimeOffset, (DateTimeOffset Until, string Rule)?> Quiet(
            NotificationRequested request,
            PreferenceProperties.Truth truth
        ) => time => QuietHoursDecider.PutOff(request, truth.Recipient, truth.Rules, () => PreferenceProperties.Zone, time);

        private void Know(IEnumerable<Channel> channels, Category category)
        {
            foreach (var key in channels.Distinct().SelectMany(c => CapDecider.Concerns(c, category, "u/u-1")))
                counts[key] = counts.TryGetValue(key, out var known) ? known.From(now) : CapCount.None(key.Per, now);
        }
    }
}
