namespace Notify.Api.Recipients;

using System.ComponentModel.DataAnnotations;
using System.Globalization;
using FluentValidation;
using Microsoft.AspNetCore.Http.Features;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Reference;
using Notify.Delivery.Monitoring;
using Notify.Delivery.Privacy;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Infrastructure.Networking;

/// <summary>One user of an import: a line of <c>POST /v1/users/import</c>.</summary>
public sealed record ImportUser
{
    /// <summary>The user's ID.</summary>
    [Required]
    public string? UserId { get; init; }

    /// <summary>An email address.</summary>
    public string? Email { get; init; }

    /// <summary>A phone number with country code; kept and shown in E.164.</summary>
    public string? Phone { get; init; }

    /// <summary>A BCP 47 language tag.</summary>
    public string? Locale { get; init; }

    /// <summary>An IANA time zone.</summary>
    public string? TimeZone { get; init; }

    /// <summary>Devices to register in addition to the user's existing ones; at most 50.</summary>
    public IReadOnlyList<RegisterDevice>? Devices { get; init; }
}

/// <summary>A line that was not imported.</summary>
/// <param name="Line">Its number in the request's body, from 1.</param>
/// <param name="Field">The field at fault; <c>null</c>: the line as a whole.</param>
/// <param name="Message">Its fault.</param>
public sealed record ImportFault(long Line, string? Field, string Message);

/// <summary>The result of an import.</summary>
/// <param name="Imported">Lines that registered or changed a user.</param>
/// <param name="Unchanged">Lines that changed nothing.</param>
/// <param name="Failed">Lines that were rejected.</param>
/// <param name="Errors">Why, every fault of each line; the first 1,000.</param>
/// <param name="ErrorsLeftOut">How many more faults there were.</param>
public sealed record ImportSummary(long Imported, long Unchanged, long Failed, IReadOnlyList<ImportFault> Errors, long ErrorsLeftOut);

/// <summary>The shape of an import's line: as if the user and each device were given by themselves.</summary>
public sealed class ImportUserValidator : AbstractValidator<ImportUser>
{
    private const int MaxDevices = 50;
    private static readonly PutUserValidator Details = new();

    /// <summary>The rules.</summary>
    public ImportUserValidator(OutboundGuard? guard = null, MasterKeyRing? ring = null) =>
        RuleFor(u => u)
            .Custom(
                (u, context) =>
                {
                    if (u.UserId is null || !Identifiers.IsUserId(u.UserId))
                        context.AddFailure("UserId", Identifiers.UserIdRule);
                    foreach (
                        var fault in Details
                            .Validate(
                                new PutUser
                                {
                                    Email = u.Email,
                                    Phone = u.Phone,
                                    Locale = u.Locale,
                                    TimeZone = u.TimeZone,
                                }
                            )
                            .Errors
                    )
                        context.AddFailure(fault.PropertyName, fault.ErrorMessage);
                    if (u.Devices is not { } devices)
                        return;
                    if (devices.Count > MaxDevices)
                        context.AddFailure("Devices", $"at most {MaxDevices}");
                    for (var i = 0; i < Math.Min(devices.Count, MaxDevices); i++)
                    {
                        var device = devices[i];
                        foreach (
                            var (field, fault) in ContactRules
                                .CheckDevice(device.Platform, device.Token, device.Subscription, guard)
                                .Concat(AppRules.Check(device.Platform, device.App, device.Environment, ring))
                        )
                            context.AddFailure(string.Create(CultureInfo.InvariantCulture, $"Devices[{i}].{field}"), fault);
                    }
                }
            );
}

/// <summary>Registers many users from a stream of lines: committed in chunks while it is read, never held as a whole.</summary>
public static class ImportUsers
{
    /// <summary>The longest line, in bytes.</summary>
    public const int MaxLine = 64 * 1024;

    private const int Chunk = 500,
        MaxErrors = 1000;
    private const string Compressed = "Send the lines as they are, without Content-Encoding.";
    private const string Unsupported = "Send one JSON object a line, with the header Content-Type: application/x-ndjson.";

    /// <summary>The fault of a line that is longer than <see cref="MaxLine"/>.</summary>
    public static readonly string TooLong = $"is longer than {MaxLine / 1024} KiB";

    /// <summary>Maps <c>POST /v1/users/import</c>.</summary>
    public static void Map(IEndpointRouteBuilder app) =>
        app.MapPost("/v1/users/import", ImportAsync)
            .RequireScope(Scopes.Recipients)
            .WithoutDeadline()
            .WithName("ImportUsers")
            .WithTags("Recipients")
            .WithSummary("Register many users")
            .WithDescription(
                "One user a line (NDJSON), each as in `PUT /v1/users/{userId}`, with devices if there are any. A line that is "
                    + "at fault is told and left out; the others count. A line that says what is known changes nothing, so the same "
                    + "import can be sent again after whatever went wrong. The stream may be of any length."
            )
            .TakesLines(
                Unsupported,
                "With a device",
                new ImportUser
                {
                    UserId = "u-42",
                    Email = "name@example.com",
                    Phone = "+1 202 555 0123",
                    Locale = "en-US",
                    TimeZone = "America/New_York",
                    Devices =
                    [
                        new RegisterDevice
                        {
                            Platform = Platform.Ios,
                            Token = "a0a0c1f2e3d4b5a69788796a5b4c3d2e1f00112233445566778899aabbccddee",
                        },
                    ],
                }
            )
            .Answers(
                200,
                "What came of it; look at failed.",
                new ImportSummary(2, 1, 1, [new ImportFault(4, "phone", ContactRules.PhoneRule)], 0)
            );

    private static async Task<IResult> ImportAsync(HttpContext http, RecipientImport import, ImportUserValidator validator, AppRules apps)
    {
        var type = http.Request.ContentType?.Split(';')[0].Trim().ToLowerInvariant();
        if (type is not ("application/x-ndjson" or "application/ndjson" or "application/jsonl" or "application/json"))
            return Problem.Of(StatusCodes.Status415UnsupportedMediaType, "unsupported_media_type", Unsupported);
        if (RequestBody.IsCompressed(http.Request))
            return Problem.Of(StatusCodes.Status415UnsupportedMediaType, "unsupported_media_type", Compressed);
        if (http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit)
            limit.MaxRequestBodySize = null;

        var (imported, unchanged, failed, leftOut) = (0L, 0L, 0L, 0L);
        var errors = new List<ImportFault>();
        var (chunk, committing) = (new List<ImportUser>(Chunk), Task.CompletedTask);
        var (by, aborted) = (Callers.Of(http).ClientId, http.RequestAborted);
        var configured = await apps.ConfiguredAsync(aborted);
        await foreach (var (number, raw) in ImportLines.ReadAsync(http.Request.BodyReader, MaxLine, aborted))
        {
            var text = raw is null ? null : ImportLines.WithoutMarks(raw);
            if (text is { } blank && ImportLines.IsBlank(blank))
                continue;
            var (user, faults) = Parse(number, text, validator, configured);
            if (user is not null)
                chunk.Add(user);
            else
            {
                failed++;
                var room = Math.Min(faults.Count, MaxErrors - errors.Count);
                errors.AddRange(faults.Take(room));
                leftOut += faults.Count - room;
            }

            if (chunk.Count == Chunk)
                await HandOverAsync();
        }

        await HandOverAsync();
        await committing;
        return Results.Ok(new ImportSummary(imported, unchanged, failed, errors, leftOut));

        // One after the other, in the order of their lines; the next chunk is read meanwhile.
        async Task HandOverAsync()
        {
            await committing;
            (committing, chunk) = (CommitAsync(chunk), new List<ImportUser>(Chunk));
        }

        async Task CommitAsync(List<ImportUser> users)
        {
            if (users.Count == 0)
                return;
            var changed = await import.CommitAsync(users, by, aborted);
            imported += changed;
            unchanged += users.Count - changed;
        }
    }

    private static (ImportUser? User, IReadOnlyList<ImportFault> Faults) Parse(
        long line,
        byte[]? text,
        ImportUserValidator validator,
        IReadOnlyList<CarriedApp>? configured
    )
    {
        if (text is null)
            return (null, [new ImportFault(line, null, TooLong)]);
        var (document, fault) = RequestBody.Parse(text, "The line", isLine: true);
        if (document is null)
            return (null, [new ImportFault(line, null, fault!)]);
        using (document)
        {
            var faults = RequestBody.Bind(document.RootElement, validator, out var user);
            if (faults is null && AppFaults(user!, configured) is { Count: > 0 } unknown)
                return (null, [.. unknown.Select(f => new ImportFault(line, "devices", f))]);
            return (user, faults is null ? [] : [.. faults.SelectMany(f => f.Value.Select(m => new ImportFault(line, f.Key, m)))]);
        }
    }

    private static List<string> AppFaults(ImportUser user, IReadOnlyList<CarriedApp>? configured) =>
        [
            .. (user.Devices ?? [])
                .Select(d => DeviceApp.Of(d.App, d.Environment))
                .OfType<DeviceApp>()
                .Select(a => AppRules.FaultOf(a, configured))
                .OfType<string>(),
        ];
}
