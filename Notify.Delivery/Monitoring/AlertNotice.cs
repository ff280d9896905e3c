namespace Notify.Delivery.Monitoring;

using System.Globalization;
using System.Text.Json;
using Notify.Domain.Channels;
using Notify.Infrastructure.Json;

/// <summary>An alert for developers, in the log and in the webhook's body. It names providers, lanes and codes, and no person.</summary>
/// <param name="AlertId">The same in the opening and in the recovery.</param>
/// <param name="DeadLetters">The current number of dead letters behind the link.</param>
/// <param name="DurationSeconds">From the first failure to the last, or to the recovery.</param>
/// <param name="Link">The dead letters, or the failed notifications where there are no dead letters.</param>
public sealed record AlertNotice(
    Guid AlertId,
    string Subject,
    TroubleKind Kind,
    string? Provider,
    Lane? Lane,
    Priority? Priority,
    string Summary,
    string FirstCause,
    long Failures,
    long Attempts,
    long DeadLetters,
    DateTimeOffset FirstFailureAt,
    DateTimeOffset LastFailureAt,
    DateTimeOffset OpenedAt,
    DateTimeOffset? RecoveredAt,
    double DurationSeconds,
    Uri? Link,
    string WhatToDo
)
{
    /// <summary>The type of a post about an opening.</summary>
    public const string Opened = "notify.alert.opened";

    /// <summary>The type of a post about a recovery.</summary>
    public const string Recovered = "notify.alert.recovered";

    /// <summary>The post's type.</summary>
    public static string TypeOf(Trouble trouble) => trouble.RecoveredAt is null ? Opened : Recovered;

    /// <summary>The post's ID: the same however often it is sent, by whichever host.</summary>
    public static string IdOf(Trouble trouble) => $"msg_{trouble.Id:N}_{(trouble.RecoveredAt is null ? "opened" : "recovered")}";

    /// <summary>Makes the notice of an alert.</summary>
    /// <param name="publicUrl">Where the API is reached.</param>
    public static AlertNotice Of(Trouble t, long deadLetters, Uri publicUrl) =>
        new(
            t.Id,
            t.Subject,
            t.Kind,
            t.Provider,
            t.Lane,
            t.Priority,
            Summarize(t),
            t.FirstCause,
            t.Failures,
            t.Attempts,
            deadLetters,
            t.FirstFailureAt,
            t.LastFailureAt,
            t.OpenedAt,
            t.RecoveredAt,
            Math.Round(Math.Max(0, ((t.RecoveredAt ?? t.LastFailureAt) - t.FirstFailureAt).TotalSeconds)),
            LinkOf(t, publicUrl),
            Advice(t)
        );

    /// <summary>The post's body.</summary>
    public string Body() =>
        JsonSerializer.Serialize(
            new
            {
                type = RecoveredAt is null ? Opened : Recovered,
                timestamp = RecoveredAt ?? OpenedAt,
                data = this,
            },
            NotifyJson.Options
        );

    /// <summary>Returns the list with details; <c>null</c> where no list has any.</summary>
    public static Uri? LinkOf(Trouble t, Uri publicUrl)
    {
        var lane = t.Lane?.ToString().ToLowerInvariant();
        return t.Kind switch
        {
            TroubleKind.MessageFailed or TroubleKind.ProjectionBehind or TroubleKind.StreamUnreadable => null,
            TroubleKind.MasterKeyMissing or TroubleKind.MasterKeyOverdue or TroubleKind.CommitsAtRisk => null,
            TroubleKind.VerificationFailed => At("/v1/verifications"),
            TroubleKind.MessagesRefused => At(
                $"/v1/notifications?status=failed&channel={Lanes.ChannelOf(t.Lane!.Value).ToString().ToLowerInvariant()}"
            ),
            _ => At(
                (lane, t.Priority) switch
                {
                    (null, _) => "/v1/dead-letters",
                    (_, null) => $"/v1/dead-letters?lane={lane}",
                    (_, { } priority) => $"/v1/dead-letters?lane={lane}&priority={priority.ToString().ToLowerInvariant()}",
                }
            ),
        };

        Uri At(string path) => new($"{publicUrl.ToString().TrimEnd('/')}{path}");
    }

    private static string Summarize(Trouble t)
    {
        var what = t.Kind switch
        {
            TroubleKind.ProviderFailing => $"{t.Provider} fails",
            TroubleKind.ProviderHalted => $"{t.Provider} refuses our configuration",
            TroubleKind.MessagesRefused => t.Provider == Notify.Delivery.Monitoring.CallCounts.NoProvider
                ? $"no provider carries {t.Lane}"
                : $"{t.Provider} refuses messages",
            TroubleKind.DeliveriesFailing => $"{t.Priority} deliveries on {t.Lane} fail",
            TroubleKind.DeadLettering => $"{t.Priority} deliveries on {t.Lane} become dead letters",
            TroubleKind.MessageFailed => $"a message lies in {t.Subject.Split(':')[^1]}.wolverine_dead_letters",
            TroubleKind.StreamUnreadable => "hosts cannot read some notifications",
            TroubleKind.CommitsAtRisk => "a crash or failover of PostgreSQL loses accepted notifications",
            TroubleKind.VerificationFailed => "the last verification found faults",
            TroubleKind.MasterKeyMissing => "a host lacks a master key that is in use",
            TroubleKind.MasterKeyOverdue => "a master key was kept past its schedule",
            _ => $"the read model {t.Subject[(t.Subject.IndexOf(':', StringComparison.Ordinal) + 1)..]} is behind",
        };
        var counts = t.Kind switch
        {
            TroubleKind.MessageFailed => $"{t.Failures} messages",
            TroubleKind.ProjectionBehind => $"{t.Failures} events",
            TroubleKind.StreamUnreadable => $"{t.Failures} streams",
            TroubleKind.CommitsAtRisk => "every commit",
            TroubleKind.VerificationFailed => $"{t.Failures} faults",
            TroubleKind.MasterKeyMissing => $"{t.Failures} hosts",
            TroubleKind.MasterKeyOverdue => $"keys of {t.Failures} erased subjects",
            _ => $"{t.Failures} of {t.Attempts}",
        };
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{(t.RecoveredAt is null ? "" : "over: ")}{what} ({t.FirstCause}; {counts} since {t.FirstFailureAt:yyyy-MM-dd HH:mm:ss}Z)"
        );
    }

    private static string Advice(Trouble t) =>
        t.Kind switch
        {
            TroubleKind.ProviderFailing =>
                "Nothing is lost: deliveries wait and are tried again. Look at the provider's status page; replay the dead "
                    + "letters when it is over.",
            TroubleKind.ProviderHalted =>
                "Nothing is lost: deliveries wait. Mend the credentials or settings under Providers and restart the Dispatch hosts.",
            TroubleKind.MessagesRefused when t.Provider == Notify.Delivery.Monitoring.CallCounts.NoProvider =>
                "These deliveries fail. Configure a provider for the lane, or stop sending on its channel.",
            TroubleKind.MessagesRefused =>
                "These deliveries fail and are not tried again. Look at the reason and code of failed notifications, and mend "
                    + "what is sent.",
            TroubleKind.DeliveriesFailing => "Nothing is lost: deliveries are tried again. Look at what these have in common.",
            TroubleKind.DeadLettering => "Look at the dead letters' reasons, mend the cause, then replay them.",
            TroubleKind.MessageFailed =>
                "This is a bug; its deliveries are taken over all the same. Report it with the row, then delete the row.",
            TroubleKind.MasterKeyMissing =>
                "Nothing is lost: deliveries go back to the other hosts. Set the key under Notify:MasterKeys and restart that host.",
            TroubleKind.MasterKeyOverdue =>
                "Sending goes on. Run ./notify rotate-keys and do what it says: it names the hosts that hold the rotation up, "
                    + "and the settings to take out.",
            TroubleKind.CommitsAtRisk =>
                "Sending goes on. Change the setting that the cause names; docs/operations.md tells more under Standbys.",
            TroubleKind.StreamUnreadable =>
                "Only these wait; nothing of them is lost. The table notify.stream_faults names each stream and event. "
                    + "Start the hosts of the newest version, or repair the event.",
            TroubleKind.VerificationFailed => "Each fault names its stream and what to do: see the link, or run verify.",
            _ => "Sending goes on. See that a Projections host runs, and look for errors in its log.",
        };
}
