namespace Notify.Dispatch.Dispatching;

using Notify.Delivery.Templates;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Domain.Templates;

/// <summary>Renders a delivery's content: the request's own, its template's with the parameters, or a digest's for the channel.</summary>
public static class ContentRendering
{
    /// <summary>Returns the content for a channel, the same at every attempt: a template's now is the notification's due time.</summary>
    /// <param name="templates">By <see cref="TemplateBook.NameOf"/>.</param>
    /// <returns>The content, or why there is none.</returns>
    public static (NotificationContent? Content, TemplateFault? Fault) Of(
        Notification notification,
        Channel channel,
        NotificationPayload payload,
        IReadOnlyDictionary<string, ReadyTemplate> templates
    )
    {
        var words = payload.ByChannel?.GetValueOrDefault(Lanes.NameOf(channel));
        if (notification.Request.Template is not { } pin)
            return (words?.Content ?? payload.Content, null);
        if (!templates.TryGetValue(TemplateBook.NameOf(pin), out var ready))
            return (null, new TemplateFault($"{pin.Key}@{pin.Version}", 0, 0, "is not there"));
        var now = notification.SendAt > notification.Request.At ? notification.SendAt.Value : notification.Request.At;
        var rendering = ready.Template.Render(channel, notification.Locale, words?.Params ?? payload.Params, ready.Layouts, now);
        return (rendering.Content, rendering.Fault);
    }
}
