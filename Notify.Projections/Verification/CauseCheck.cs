namespace Notify.Projections.Verification;

using Marten;
using Notify.Domain.Categories;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;
using Notify.Domain.Suppressions;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>Checks that deliveries were suppressed for causes that existed: opt-outs, missing contacts, caps, suppressions,
/// erased keys.</summary>
/// <remarks>
/// A plan names the versions of recipient and category that it rests upon. A last check names a time; every state within a
/// minute of it is accepted. Causes that no stream keeps (content, templates, providers) are not checked.
/// </remarks>
internal static class CauseCheck
{
    private const long MaxBytes = 16 * 1024 * 1024;
    private static readonly TimeSpan Tolerance = TimeSpan.FromMinutes(1);

    /// <summary>A suppressed delivery and the reason that was given.</summary>
    private sealed record Claim(
        Notification Notification,
        Guid DeliveryId,
        Channel Channel,
        string? DeviceId,
        string Reason,
        string Rule,
        DateTimeOffset At,
        DeliveriesPlanned? Plan,
        Sealed? Contact
    );

    /// <summary>A stream's states, each with the time from which on it was active.</summary>
    private sealed record History<T>(IReadOnlyList<(DateTimeOffset From, T State)> States)
    {
        public IEnumerable<T> Around(DateTimeOffset time) =>
            States
                .Where((s, i) => s.From <= time + Tolerance && (i == States.Count - 1 || States[i + 1].From >= time - Tolerance))
                .Select(s => s.State);

        public bool HasBegunBefore(DateTimeOffset time) => States.Count > 0 && States[0].From < time;
    }

    /// <summary>Checks notifications, in the snapshot in which they were read.</summary>
    /// <param name="fault">Receives each fault.</param>
    public static async Task CheckAsync(
        IQuerySession session,
        NpgsqlConnection connection,
        IReadOnlyCollection<(Notification State, IReadOnlyList<StreamEvent> Events)> page,
        Action<VerificationFault> fault,
        CancellationToken cancellation
    )
    {
        var claims = page.SelectMany(p => ClaimsOf(p.State, p.Events)).ToList();
        if (claims.Count == 0)
            return;
        await CheckKeysAsync(connection, [.. claims.Where(c => c.Rule == "key")], fault, cancellation);
        claims.RemoveAll(c => c.Rule == "key");
        var categories = await CategoriesAsync(session, claims, cancellation);
        var users = claims
            .Select(c => c.Notification.Request.UserRef)
            .OfType<string>()
            .Select(Recipient.KeyOf)
            .Distinct(StringComparer.Ordinal)
            .ToList();
        var by = claims.ToLookup(c => c.Notification.Request.UserRef is { } user ? Recipient.KeyOf(user) : "", StringComparer.Ordinal);
        foreach (var c in by[""])
            Judge(c, null, categories, [], fault);
        foreach (var part in await StreamReader.PartsAsync(connection, users, MaxBytes, cancellation))
        {
            var recipients = HistoriesOf<Recipient>(
                await StreamReader.ReadAsync(session, part, cancellation),
                (state, key, e) => Recipient.Evolve(state, key, e)
            );
            foreach (var user in part)
            {
                var history = recipients.GetValueOrDefault(user) ?? new History<Recipient>([]);
                var rules = await RulesAsync(session, history, [.. by[user]], cancellation);
                foreach (var c in by[user])
                    Judge(c, history, categories, rules, fault);
            }
        }
    }

    private static IEnumerable<Claim> ClaimsOf(Notification n, IReadOnlyList<StreamEvent> events)
    {
        foreach (var e in events.Select(e => e.Data))
        {
            if (e is DeliveriesPlanned plan)
            {
                foreach (var l in plan.LeftOut.Where(l => IsProvable(l.Reason)))
                    yield return new Claim(n, l.Id, l.Channel, l.DeviceId, l.Reason, l.Rule, plan.At, plan, null);
            }
            else if (e is DeliverySuppressed s && IsProvable(s.Reason) && n.Deliveries.TryGetValue(s.DeliveryId, out var d))
                yield return new Claim(n, d.Id, d.Channel, d.DeviceId, s.Reason, s.Rule, s.At, null, d.Contact);
        }
    }

    private static bool IsProvable(string reason) =>
        reason
            is Reasons.UnknownUser
                or Reasons.Erased
                or Reasons.NoContact
                or Reasons.OptedOut
                or Reasons.SuppressedAddress
                or Reasons.CapExceeded
                or Reasons.DeviceRemoved
                or Reasons.Unreadable;

    // A delivery is unreadable because a key was erased. While every key exists, a host lacked the master key.
    private static async Task CheckKeysAsync(
        NpgsqlConnection connection,
        List<Claim> claims,
        Action<VerificationFault> fault,
        CancellationToken cancellation
    )
    {
        if (claims.Count == 0)
            return;
        var users = claims.Select(c => c.Notification.Request.Subject).Distinct(StringComparer.Ordinal).ToArray();
        var (erased, present) = (new HashSet<string>(StringComparer.Ordinal), new HashSet<long>());
        await using var command = SqlCommands.Create(
            connection,
            "select id, subject, wrapped is not null from notify.subject_keys where subject = any($1) or id = any($2)",
            users,
            claims.SelectMany(KeysOf).Distinct().ToArray()
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        while (await reader.ReadAsync(cancellation))
        {
            if (reader.GetBoolean(2))
                present.Add(reader.GetInt64(0));
            else
                erased.Add(reader.GetString(1));
        }

        foreach (var c in claims.Where(c => KeysOf(c).All(present.Contains) && !erased.Contains(c.Notification.Request.Subject)))
            Report(c, fault);
    }

    private static IEnumerable<long> KeysOf(Claim c)
    {
        if (c.Notification.Request.Payload is { IsNone: false } payload)
            yield return payload.KeyId;
        if (c.Contact is { } contact)
            yield return contact.KeyId;
    }

    private static async Task<Dictionary<string, History<Category>>> CategoriesAsync(
        IQuerySession session,
        List<Claim> claims,
        CancellationToken cancellation
    )
    {
        var keys = claims
            .Where(c => c.Reason is Reasons.OptedOut or Reasons.CapExceeded)
            .Select(c => Category.KeyOf(c.Notification.Request.Category))
            .Distinct(StringComparer.Ordinal)
            .ToList();
        return HistoriesOf<Category>(await StreamReader.ReadAsync(session, keys, cancellation), Category.Evolve);
    }

    // The rules of all suppressions that the user's addresses ever had.
    private static async Task<HashSet<string>> RulesAsync(
        IQuerySession session,
        History<Recipient> history,
        List<Claim> claims,
        CancellationToken cancellation
    )
    {
        var channels = claims.Where(c => c.Reason == Reasons.SuppressedAddress).Select(c => c.Channel).Distinct().ToList();
        var keys = channels
            .SelectMany(c => history.States.Select(s => s.State.FingerprintOn(c)).OfType<string>().Select(f => Suppression.KeyOf(c, f)))
            .Distinct(StringComparer.Ordinal)
            .ToList();
        var found = HistoriesOf<Suppression>(
            await StreamReader.ReadAsync(session, keys, cancellation),
            (state, _, e) => Suppression.Evolve(state, e)
        );
        return [.. found.Values.SelectMany(h => h.States).Select(s => s.State.Rule)];
    }

    private static void Judge(
        Claim c,
        History<Recipient>? history,
        IReadOnlyDictionary<string, History<Category>> categories,
        HashSet<string> rules,
        Action<VerificationFault> fault
    )
    {
        var categoryHistory = categories.GetValueOrDefault(Category.KeyOf(c.Notification.Request.Category));
        IReadOnlyList<Category?> kinds = c.Plan is { } plan
            ?
            [
                plan.CategoryVersion == 0
                    ? null
                    : categoryHistory?.States.Select(s => s.State).FirstOrDefault(s => s.Version == plan.CategoryVersion),
            ]
            : [.. categoryHistory?.Around(c.At).Cast<Category?>().DefaultIfEmpty() ?? [null]];
        IReadOnlyList<Recipient?> recipients =
            history is null ? [null]
            : c.Plan is { } planned
                ?
                [
                    planned.RecipientVersion == 0
                        ? null
                        : history.States.Select(s => s.State).FirstOrDefault(s => s.Version == planned.RecipientVersion),
                ]
            : [.. history.Around(c.At).Cast<Recipient?>().DefaultIfEmpty()];
        var isExplained = c.Reason switch
        {
            Reasons.CapExceeded => kinds.Any(k => k?.Caps?.Any(cap => cap.Channel == c.Channel) == true),
            Reasons.OptedOut when history is null && c.Rule?.StartsWith(AddressWords.RulePrefix, StringComparison.Ordinal) == true => true,
            Reasons.OptedOut => kinds.Any(k => recipients.Any(r => !AsAsked(c, k).Reaches(r, c.Channel).MayReach)),
            _ when history is null => true, // an address that was given with the request is not kept in the open
            Reasons.UnknownUser => recipients.Contains(null) && !history.HasBegunBefore(c.At - Tolerance),
            Reasons.Erased => recipients.Any(r => r?.IsErased == true),
            Reasons.NoContact => recipients.Any(r => r is not null && HasNoContact(r, c.Channel)),
            Reasons.DeviceRemoved => recipients.Any(r => r?.Devices.All(d => d.Id != c.DeviceId) == true),
            Reasons.SuppressedAddress => rules.Contains(c.Rule),
            _ => true,
        };
        if (!isExplained)
            Report(c, fault);
    }

    private static Category AsAsked(Claim c, Category? kind)
    {
        var request = c.Notification.Request;
        return (
            kind is null ? ReachRules.None : ReachRules.None with { Categories = new Dictionary<string, Category> { [kind.Id] = kind } }
        ).Of(request);
    }

    private static bool HasNoContact(Recipient r, Channel channel) =>
        channel switch
        {
            Channel.Sms => !r.HasPhone,
            Channel.Email => !r.HasEmail,
            _ => r.Devices.Count == 0,
        };

    private static void Report(Claim c, Action<VerificationFault> fault) =>
        fault(
            new VerificationFault(
                VerificationFaultKind.WithoutCause,
                c.Notification.Key,
                c.DeliveryId,
                $"suppressed as {c.Reason} ({c.Rule}), and no such cause existed"
            )
        );

    private static Dictionary<string, History<T>> HistoriesOf<T>(
        Dictionary<string, StreamContent> streams,
        Func<T?, string, object, T?> evolve
    )
        where T : class
    {
        var histories = new Dictionary<string, History<T>>(StringComparer.Ordinal);
        foreach (var (key, content) in streams)
        {
            var (states, state) = (new List<(DateTimeOffset, T)>(content.Events.Count), (T?)null);
            foreach (var e in content.Events)
            {
                state = evolve(state, key, e.Data);
                if (state is not null)
                    states.Add((e.Timestamp, state));
            }

            histories[key] = new History<T>(states);
        }

        return histories;
    }
}
