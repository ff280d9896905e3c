namespace Notify.Tests.Telemetry;

using Notify.Tests.Support;

/// <summary>One trace from the caller to the provider, through the batches that carry it.</summary>
public sealed class Traces
{
    [Fact]
    public async Task A_callers_trace_goes_on_to_the_provider_and_is_linked_across_batches()
    {
        await using var collector = await TraceCollector.StartAsync();
        await using var system = await NotifySystem.StartAsync(
            "traces",
            new()
            {
                ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.Address,
                ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf",
                ["OTEL_BSP_SCHEDULE_DELAY"] = "200",
            },
            projections: false
        );
        var person = await system.NewPersonAsync();
        var words = $"Saffron {Guid.NewGuid():N}";
        const string Trace = "4bf92f3577b34da6a3ce929d0e0e4736";

        (
            await system.Client.CallAsync(
                HttpMethod.Post,
                "/v1/notifications",
                new
                {
                    eventId = "traced",
                    userId = person.Id,
                    content = new { title = "T", body = words },
                },
                r => r.Headers.Add("traceparent", $"00-{Trace}-00f067aa0ba902b7-01")
            )
        ).Is(202);
        await system.Client.BecomesAsync("traced", "dispatched");
        var token = new string('A', 39);
        (await system.Client.GetAsync($"/u/{token}")).Is(404);

        await Eventually.Passes(() =>
        {
            var spans = collector.Spans.ToList();
            var accepted = Assert.Single(spans, s => s.Name == "accept group" && s.LinkedTraces.Contains(Trace));
            foreach (var name in new[] { "send Apns", "send Sms" })
            {
                var sent = Assert.Single(spans, s => s.Name == name);
                Assert.Equal(Trace, sent.TraceId);
                // The batch that carried it: Dispatch's handler, a child of the group that was committed in Api.
                Assert.Contains(accepted.TraceId, sent.LinkedTraces);
            }

            Assert.Single(spans, s => s.Name == "GET /u/{token}");
            return Task.CompletedTask;
        });

        var raw = string.Concat(collector.Raw);
        Assert.Contains("accept group", raw, StringComparison.Ordinal);
        foreach (var secret in new[] { words, person.Phone!, person.Phone![1..], person.Tokens[0], token })
            Assert.DoesNotContain(secret, raw, StringComparison.OrdinalIgnoreCase);
    }
}
