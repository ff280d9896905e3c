namespace Notify.Delivery.Digests;

using Notify.Delivery.Templates;
using Notify.Domain.Categories;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Domain.Templates;

/// <summary>A notification that a digest lists, decrypted.</summary>
public sealed record ToldMember(NotificationRequested Request, NotificationPayload Payload)
{
    /// <summary>Returns it with only the parts that a digest of several needs.</summary>
    public ToldMember AsTold() =>
        this with
        {
            Payload = new NotificationPayload(
                new NotificationContent(Payload.Content.Title, Payload.Content.Body, Url: Payload.Content.Url),
                Params: Payload.Params
            ),
        };
}

/// <summary>The content of a digest, its channels and its template.</summary>
/// <param name="Channels">Its channels; <c>null</c>: all that the person can be reached by.</param>
/// <param name="Fault">Where its template failed, so that the plain text replaces it; <c>null</c>: no fault.</param>
public sealed record DigestWords(IReadOnlyList<Channel>? Channels, PinnedTemplate? Template, NotificationPayload Payload, string? Fault);

/// <summary>
/// Composes one notification of many. Pure. A template renders it from <c>count</c> and <c>items</c>. Without a template, or if it
/// cannot be rendered, the text is plain. A digest of one notification has that notification's own content.
/// </summary>
/// <param name="Category">The key of its category.</param>
/// <param name="Rule">The category's rule when the digest was opened.</param>
/// <param name="Current">The rule's template as it is now; <c>null</c>: there is none.</param>
/// <param name="Pinned">Finds the templates of its members.</param>
/// <param name="Locale">The person's language.</param>
/// <param name="Sms">The limits of an SMS.</param>
/// <param name="SendAt">When it was due to be sent.</param>
public sealed record DigestComposer(
    string Category,
    DigestRule Rule,
    CurrentTemplate? Current,
    Func<PinnedTemplate, CompiledTemplate?> Pinned,
    string? Locale,
    SmsLimits Sms,
    DateTimeOffset SendAt
)
{
    private static readonly Channel[] Every = Enum.GetValues<Channel>();

    /// <summary>Composes a digest.</summary>
    /// <param name="all">The requests of all its members; at least one.</param>
    /// <param name="told">The members listed one by one: the first of <paramref name="all"/>.</param>
    public DigestWords Compose(IReadOnlyList<NotificationRequested> all, IReadOnlyList<ToldMember> told)
    {
        var (templated, fault) = Rule.Template is null ? (null, null) : Templated(all.Count, told);
        if (templated is not null)
            return templated;
        return all.Count == 1 && Rule.Channels is null
            ? new DigestWords(told[0].Request.Channels, told[0].Request.Template, told[0].Payload, fault)
            : Plain(all, told) with
            {
                Fault = fault,
            };
    }

    private (DigestWords? Words, string? Fault) Templated(int count, IReadOnlyList<ToldMember> told)
    {
        if (Current?.Ready is not { } ready)
            return (null, Rule.Template);
        var pin = Current.Pin(null);
        var served = pin.Channels.Where(c => Rule.Channels?.Contains(c) != false).ToList();
        if (served.Count == 0)
            return (null, "channels");
        var words = served.ToDictionary(
            Lanes.NameOf,
            c => new ChannelWords(null, DigestText.Params(count, [.. told.Select(m => ItemOf(m, c))])),
            StringComparer.Ordinal
        );
        var fault = served
            .Select(c => ready.Template.Render(c, Locale, words[Lanes.NameOf(c)].Params, ready.Layouts, SendAt).Fault)
            .OfType<TemplateFault>()
            .FirstOrDefault();
        return fault is null
            ? (
                new DigestWords(
                    served,
                    pin,
                    new NotificationPayload(new NotificationContent(), told[0].Payload.To, ByChannel: words),
                    null
                ),
                null
            )
            : (null, fault.Place);
    }

    private DigestWords Plain(IReadOnlyList<NotificationRequested> all, IReadOnlyList<ToldMember> told)
    {
        var channels = Rule.Channels ?? Wanted(all);
        var words = new Dictionary<string, ChannelWords>(StringComparer.Ordinal);
        foreach (var channel in channels ?? Every)
        {
            // Where the category names the channels, all are listed on each of them; else each where it would have been sent.
            bool IsTold(NotificationRequested r) => Rule.Channels is not null || MayGo(r, channel);
            var everything = !all.Any(IsTold);
            var items = told.Where(m => everything || IsTold(m.Request)).Select(m => ItemOf(m, channel)).ToList();
            words[Lanes.NameOf(channel)] = new ChannelWords(
                DigestText.Of(channel, Category, everything ? all.Count : all.Count(IsTold), items, Sms)
            );
        }

        // Planning checks this content; the text of an SMS is within its limits.
        var first = words.Values.Select(w => w.Content!).First();
        var content = new NotificationContent(first.Title ?? Category, (words.GetValueOrDefault("sms")?.Content ?? first).Body);
        return new DigestWords(channels, null, new NotificationPayload(content, told[0].Payload.To, ByChannel: words), null);
    }

    // null: one of them asks for all channels that reach the person.
    private static IReadOnlyList<Channel>? Wanted(IReadOnlyList<NotificationRequested> all) =>
        all.Any(r => r is { Channels: null, Template: null })
            ? null
            : [.. Every.Where(c => all.Any(r => (r.Channels ?? r.Template!.Channels).Contains(c)))];

    private static bool MayGo(NotificationRequested request, Channel channel) =>
        request.Channels?.Contains(channel) != false && request.Template?.Channels.Contains(channel) != false;

    private DigestItem ItemOf(ToldMember member, Channel channel)
    {
        var (request, payload) = member;
        var at = request.SendAt > request.At ? request.SendAt.Value : request.At;
        var content = request.Template is { } pin ? Rendered(pin, payload, channel, at) : payload.Content;
        return DigestText.Shortened(new DigestItem(request.EventId, content?.Title, content?.Body, content?.Url, payload.Params, at));
    }

    // Renders its template for the channel. A missing part, such as the plain text of an email, comes from another channel.
    private NotificationContent? Rendered(PinnedTemplate pin, NotificationPayload payload, Channel channel, DateTimeOffset at)
    {
        if (Pinned(pin) is not { } template)
            return null;
        NotificationContent? said = null;
        foreach (var c in pin.Channels.OrderBy(c => c == channel ? -1 : (int)c))
        {
            if (template.Render(c, pin.Locale ?? Locale, payload.Params, [], at).Content is not { } other)
                continue;
            said = said is null
                ? other
                : said with
                {
                    Title = said.Title ?? other.Title,
                    Body = said.Body ?? other.Body,
                    Url = said.Url ?? other.Url,
                };
            if (said is { Body.Length: > 0 })
                break;
        }

        return said;
    }
}
