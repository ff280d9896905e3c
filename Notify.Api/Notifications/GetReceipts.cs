namespace Notify.Api.Notifications;

using Marten;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Reference;
using Notify.Delivery.Privacy;
using Notify.Delivery.Receipts;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>A notification's receipts.</summary>
/// <param name="Receipts">As they came, oldest first.</param>
public sealed record ReceiptList(IReadOnlyList<ReceiptResource> Receipts);

/// <summary>A receipt as a provider posted it: the source of the events that name it as their <c>receipt</c>.</summary>
/// <param name="Provider">The provider that posted it.</param>
/// <param name="ReceiptId">The provider's own ID of it; the events that followed from it name it.</param>
/// <param name="ReceivedAt">When it arrived.</param>
/// <param name="At">The time of the reported fact, where the provider gives it; else the receipt's arrival.</param>
/// <param name="What">The reported fact, in terms that all providers share.</param>
/// <param name="DeliveryId">The delivery that it is about.</param>
/// <param name="ProviderMessageId">The provider's ID of the message.</param>
/// <param name="Reason">Why it failed.</param>
/// <param name="ProviderCode">The provider's own code.</param>
/// <param name="Raw">The receipt as received; absent where the person was erased, or where it is no longer kept.</param>
public sealed record ReceiptResource(
    string Provider,
    string ReceiptId,
    DateTimeOffset ReceivedAt,
    DateTimeOffset At,
    ReportKind What,
    Guid? DeliveryId,
    string? ProviderMessageId,
    string? Reason,
    string? ProviderCode,
    string? Raw
);

/// <summary>The raw receipts behind a notification's events.</summary>
public static class GetReceipts
{
    /// <summary>Maps <c>GET /v1/notifications/{eventId}/receipts</c>.</summary>
    public static void Map(IEndpointRouteBuilder app) =>
        app.MapGet("/v1/notifications/{eventId}/receipts", GetAsync)
            .RequireScope(Scopes.Audit)
            .Traced()
            .WithName("GetNotificationReceipts")
            .WithTags("Ask")
            .WithSummary("A notification's receipts")
            .WithDescription(
                "Every receipt that providers posted for it, word for word. They hold addresses: they are kept sealed under "
                    + "the person's key, and opened here."
            )
            .Query("client", GetNotification.ClientRule, "c_k3v9x2m7q4w8z5ab")
            .Answers(
                200,
                "The receipts.",
                new ReceiptList([
                    new ReceiptResource(
                        "twilio",
                        "SM5f0c1d2e3b4a59687f6e5d4c3b2a1908:delivered",
                        At,
                        At,
                        ReportKind.Delivered,
                        Guid.Parse("0b1f7c3e-52ab-8d0e-9c41-6a7d2f90e513"),
                        "SM5f0c1d2e3b4a59687f6e5d4c3b2a1908",
                        null,
                        null,
                        "MessageSid=SM5f0c1d2e3b4a59687f6e5d4c3b2a1908&MessageStatus=delivered&To=%2B12025550123"
                    ),
                ])
            )
            .FailsNotFound("notification with this event ID");

    private static DateTimeOffset At => new(2026, 12, 1, 9, 0, 4, TimeSpan.Zero);

    private static async Task<IResult> GetAsync(
        string eventId,
        HttpContext http,
        ReadDatabase database,
        UserReferences users,
        SubjectKeys keys,
        string? client
    )
    {
        var (seen, problem) = Visibility.Of(http, client);
        if (seen is null)
            return problem!;
        var key = seen.KeyOf(await users.FindEventIdAsync(eventId, http.RequestAborted));
        await using var read = await database.OpenAsync(http.RequestAborted);
        if (await read.Session.Events.FetchStreamStateAsync(key, http.RequestAborted) is null)
            return Problem.NotFound("notification with this event ID");
        var rows = await ReceiptTable.OfAsync(read.Connection, key, http.RequestAborted);
        var opened = await keys.ForAsync(read.Connection, rows.Where(r => r.Raw != Sealed.None).Select(r => r.Raw), http.RequestAborted);
        return Results.Ok(
            new ReceiptList([
                .. rows.Select(r => new ReceiptResource(
                    r.Provider,
                    r.EventId,
                    r.ReceivedAt,
                    r.Facts.At,
                    r.What,
                    r.DeliveryId,
                    r.MessageId,
                    r.Facts.Reason,
                    r.Facts.Code,
                    r.Raw == Sealed.None ? null : opened.OpenText(r.Raw, SealedPlace.OfReceipt(r.Provider, r.EventId))
                )),
            ])
        );
    }
}
