namespace Notify.Delivery.EventStore;

/// <summary>The schema of events and documents.</summary>
public static class EventSchema
{
    /// <summary>Its name in PostgreSQL.</summary>
    public const string Name = "events";
}
