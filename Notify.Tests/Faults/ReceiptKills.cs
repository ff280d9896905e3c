namespace Notify.Tests.Faults;

using System.Collections.Concurrent;
using System.Net;
using Notify.Tests.Support;

/// <summary>Dispatch dies in a flood of receipts: each that was answered is kept, and what follows from it too.</summary>
[Trait("Category", "Faults")]
public sealed class ReceiptKills(FaultSystem faults) : FaultTest(faults)
{
    private const int Sms = 400;

    [Fact]
    public async Task Every_receipt_that_was_answered_with_204_has_its_row_and_its_event()
    {
        var mark = NewId("flood");
        for (var batch = 0; batch < Sms / 100; batch++)
        {
            (
                await Client.PostAsync(
                    "/v1/notifications/batch",
                    new
                    {
                        notifications = Enumerable
                            .Range(batch * 100, 100)
                            .Select(i => new
                            {
                                eventId = $"{mark}-{i}",
                                to = new { phone = Person.NewPhone() },
                                content = new { body = $"{mark}-{i}" },
                            })
                            .ToArray(),
                    }
                )
            ).Is(200);
        }

        await Installation.QuietAsync(mark: mark);
        var sent = (await Sandbox.LedgerAsync(mark)).Where(e => e.IsAccepted).Select(e => e.MessageId!).ToList();
        Assert.Equal(Sms, sent.Count);

        var answered = new ConcurrentBag<string>();
        var posted = 0;
        var left = new ConcurrentQueue<string>(sent);
        var kills = 0;
        while (!left.IsEmpty)
        {
            var dispatch = Installation.DispatchUrl;
            var posters = Enumerable
                .Range(0, 16)
                .Select(_ =>
                    Task.Run(async () =>
                    {
                        while (left.TryDequeue(out var sid))
                        {
                            try
                            {
                                Interlocked.Increment(ref posted);
                                using var response = await SignedReceipts.TwilioAsync(
                                    dispatch,
                                    null,
                                    ("MessageSid", sid),
                                    ("MessageStatus", "delivered")
                                );
                                if (response.StatusCode == HttpStatusCode.NoContent)
                                    answered.Add(sid);
                                else
                                    left.Enqueue(sid);
                            }
                            catch (HttpRequestException)
                            {
                                left.Enqueue(sid); // as a provider does, it comes again
                                return;
                            }
                        }
                    })
                )
                .ToArray();
            if (kills++ < 3)
            {
                var goal = answered.Count + 40;
                while (answered.Count < goal && !posters.All(p => p.IsCompleted))
                    await Task.Yield();
                await Installation.KillDispatchAsync();
                await Task.WhenAll(posters);
                await CheckAsync(mark, answered);
                await Installation.StartDispatchAsync();
            }

            await Task.WhenAll(posters);
        }

        await CheckAsync(mark, answered);
        Assert.Equal(Sms, answered.Distinct().Count());
        Assert.True(posted > Sms, "no post was cut off: the kills missed");
        await Installation.VerifyAsync();
    }

    private async Task CheckAsync(string mark, ConcurrentBag<string> answered)
    {
        var sids = answered.Distinct().ToArray();
        Assert.Equal(
            sids.LongLength,
            await Installation.ScalarAsync<long>(
                "select count(*) from notify.receipts where event_id = any($1) and notification is not null and due_at is null",
                (object)sids.Select(s => $"{s}:delivered").ToArray()
            )
        );
        Assert.Equal(
            sids.LongLength,
            await Installation.ScalarAsync<long>(
                "select count(*) from events.mt_events where type = 'NotificationDelivered' and stream_id like '%' || $1 || "
                    + "'%' and data ->> 'receipt' = any($2)",
                mark,
                sids.Select(s => $"{s}:delivered").ToArray()
            )
        );
        Assert.Equal(
            0L,
            await Installation.ScalarAsync<long>(
                "select count(*) from (select 1 from events.mt_events where type = 'NotificationDelivered' and stream_id like "
                    + "'%' || $1 || '%' group by stream_id having count(*) > 1) t",
                mark
            )
        );
    }
}
