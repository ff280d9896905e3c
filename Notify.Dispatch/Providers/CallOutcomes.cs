namespace Notify.Dispatch.Providers;

using Notify.Delivery.Monitoring;
using Notify.Domain.Notifications;

/// <summary>Classifies outcomes as measures of the provider: an invalid token is no failure of the provider. Pure.</summary>
public static class CallOutcomes
{
    /// <summary>Classifies an outcome. <see cref="AttemptOutcome.NotSent"/> is no call: callers do not count it.</summary>
    public static (CallOutcome Outcome, string Reason, string? Code) Of(AttemptOutcome outcome) =>
        outcome switch
        {
            AttemptOutcome.Retry { ConcernsAddress: true } => (CallOutcome.Answered, "", null),
            AttemptOutcome.Retry r => (CallOutcome.Failed, r.Reason, r.Code),
            AttemptOutcome.Unknown u => (CallOutcome.Failed, u.Reason, null),
            AttemptOutcome.Halted h => (CallOutcome.Halted, Reasons.ChannelHalted, h.Code),
            AttemptOutcome.Rejected { Reason: Reasons.Rejected or Reasons.TooLarge or Reasons.NoProvider or Reasons.CountryNotEnabled } r =>
                (CallOutcome.Refused, r.Reason, r.Code),
            _ => (CallOutcome.Answered, "", null),
        };
}
