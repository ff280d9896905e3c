namespace Notify.Delivery.Tracking;

using Notify.Domain.Channels;
using Notify.Domain.Notifications;

/// <summary>The key of a row of <c>analytics.daily</c>: the day of the request in UTC, and the kind. Absent parts are empty.</summary>
public readonly record struct DailyKey(
    DateOnly Day,
    string ClientId,
    string Channel,
    string Category,
    string Template,
    string Provider,
    string Mode
)
{
    /// <summary>Returns the key of a delivery in its current state.</summary>
    public static DailyKey Of(NotificationRequested request, Delivery delivery) =>
        new(
            DateOnly.FromDateTime(request.At.UtcDateTime),
            request.ClientId,
            EnumNames.Of(delivery.Channel),
            request.Category,
            request.Template?.Key ?? "",
            delivery.Provider ?? "",
            EnumNames.Of(request.Mode)
        );
}
