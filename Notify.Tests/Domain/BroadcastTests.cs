namespace Notify.Tests.Domain;

using Notify.Domain.Broadcasts;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;

public sealed class BroadcastTests
{
    private static readonly DateTimeOffset Now = new(2026, 12, 1, 9, 0, 0, TimeSpan.Zero);
    private static readonly Broadcast Scheduled = new(
        "b/c:x",
        BroadcastState.Scheduled,
        Now.AddHours(1),
        null,
        Now.AddHours(1),
        "",
        0,
        null,
        null,
        null
    );
    private static readonly Broadcast Expanding = Scheduled.Start(3, Now).Next.Expand("u-1", 1, false, Now).Next;

    [Fact]
    public void Held_before_its_time_it_goes_on_at_its_time()
    {
        var (held, paused) = Scheduled.Pause("c", Now)!.Value;
        Assert.Equal((BroadcastState.Paused, null, new BroadcastPaused(0, "c", Now)), (held.State, held.DueAt, paused));
        Assert.Equal((Scheduled, (object)new BroadcastResumed("c", Now)), held.Resume("c", Now)!.Value);
        Assert.Equal(Now.AddHours(2), held.Resume("c", Now.AddHours(2))!.Value.Next.DueAt);
    }

    [Fact]
    public void Held_in_the_middle_it_goes_on_where_it_was()
    {
        var held = Expanding.Pause("c", Now)!.Value.Next;
        Assert.Equal(Expanding, held.Resume("c", Now)!.Value.Next);
        Assert.Equal(
            ("u-1", 1, BroadcastState.Cancelled),
            (
                held.Cancel(false, "c", Now)!.Value.Next.AfterUser,
                held.Cancel(false, "c", Now)!.Value.Next.Expanded,
                held.Cancel(false, "c", Now)!.Value.Next.State
            )
        );
    }

    [Fact]
    public void Said_again_it_is_no_event()
    {
        Assert.Null(Expanding.Resume("c", Now)!.Value.Event);
        Assert.Null(Expanding.Pause("c", Now)!.Value.Next.Pause("c", Now)!.Value.Event);
        Assert.Null(Expanding.Cancel(false, "c", Now)!.Value.Next.Cancel(false, "c", Now)!.Value.Event);
    }

    [Fact]
    public void With_the_last_chunk_it_is_complete_and_nothing_can_be_changed()
    {
        var (done, completed) = Expanding.Expand("u-3", 2, true, Now);
        Assert.Equal(
            (BroadcastState.Completed, null, Now, new BroadcastCompleted(3, Now)),
            (done.State, done.DueAt, done.EndedAt, completed)
        );
        foreach (var ended in new[] { done, Expanding.Expire(Now).Next })
        {
            Assert.Null(ended.Pause("c", Now));
            Assert.Null(ended.Resume("c", Now));
            Assert.Null(ended.Cancel(false, "c", Now));
        }

        Assert.Null(Expanding.Cancel(false, "c", Now)!.Value.Next.Resume("c", Now));
    }

    [Fact]
    public void Complete_it_can_be_withdrawn_while_something_of_it_waits()
    {
        var done = Expanding.Expand("u-3", 2, true, Now).Next;
        var (withdrawn, cancelled) = done.Cancel(true, "c", Now.AddHours(1))!.Value;
        Assert.Equal(
            (BroadcastState.Cancelled, Now.AddHours(1), Now.AddHours(1), new BroadcastCancelled(3, "c", Now.AddHours(1))),
            (withdrawn.State, withdrawn.DueAt, withdrawn.EndedAt, cancelled)
        );
        Assert.Null(withdrawn.Cancel(true, "c", Now)!.Value.Event);
    }

    [Fact]
    public void It_waits_for_the_queues_of_its_own_channels_and_priority()
    {
        var request = new BroadcastRequested(
            "c",
            "x",
            ClientMode.Live,
            Audience.Everybody,
            "news",
            Priority.Bulk,
            [Channel.Sms],
            Sealed.None,
            null,
            null,
            "h",
            null,
            Now
        );
        Assert.Equal([new DeliveryQueue(Lane.Sms, Priority.Bulk)], Broadcast.QueuesOf(request));
        Assert.Equal(Lanes.All.Count, Broadcast.QueuesOf(request with { Channels = null }).Count());

        // A channel that the template has no content for gets no queue.
        var template = new PinnedTemplate("t", 1, null, [Channel.Email, Channel.Sms], []);
        Assert.Equal([Lane.Sms, Lane.Email], Broadcast.QueuesOf(request with { Channels = null, Template = template }).Select(q => q.Lane));
        Assert.Equal(
            [Lane.Sms],
            Broadcast.QueuesOf(request with { Channels = [Channel.Push, Channel.Sms], Template = template }).Select(q => q.Lane)
        );
    }

    [Theory]
    [InlineData(0, 1000)]
    [InlineData(16_000, 1000)]
    [InlineData(160_000, 104)]
    [InlineData(20_000_000, 1)]
    public void The_more_it_says_the_fewer_are_made_at_once(int bytes, int users) =>
        Assert.Equal(users, new BroadcastPace().ChunkOf(bytes));

    [Theory]
    [InlineData("b", "u@x", "b@u@x")]
    [InlineData("b:1", "u", "b:1@u")]
    public void A_notification_s_event_ID_is_none_that_a_client_may_choose(string broadcastId, string userId, string eventId)
    {
        Assert.Equal(eventId, Broadcast.EventIdOf(broadcastId, userId));
        Assert.False(Notify.Api.Contract.Identifiers.IsEventId(eventId));
        Assert.Equal(broadcastId, Broadcast.IdOf(eventId));
        Assert.Equal(
            NotificationKey.Of("c", eventId),
            (Scheduled with { Key = Broadcast.KeyOf("c", broadcastId) }).NotificationPrefix + userId
        );
        Assert.Null(Broadcast.IdOf(broadcastId));
    }
}
