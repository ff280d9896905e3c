namespace Notify.Api.Recipients;

using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using FluentValidation;
using Marten;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Reference;
using Notify.Delivery.Privacy;
using Notify.Delivery.Recipients;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;
using Notify.Infrastructure.Networking;
using Npgsql;

/// <summary>An app registers a device: the body of <c>POST /v1/users/{userId}/devices</c>.</summary>
public sealed record RegisterDevice
{
    /// <summary>Which provider carries a push to it.</summary>
    [Required]
    public Platform? Platform { get; init; }

    /// <summary>The token that the platform gave to the app; for iOS and Android.</summary>
    public string? Token { get; init; }

    /// <summary>The browser's subscription; for the web.</summary>
    public WebPushSubscription? Subscription { get; init; }

    /// <summary>
    /// The bundle ID of the app that the token belongs to; for iOS. Absent: as it was registered before, else the installation's default
    /// app.
    /// </summary>
    public string? App { get; init; }

    /// <summary>
    /// Which of Apple's servers know the token: <c>sandbox</c> for an app installed from Xcode. Absent: <c>production</c>, or the only
    /// one that the app is configured for.
    /// </summary>
    public PushEnvironment? Environment { get; init; }

    /// <summary>For an app whose device was another user's: the code that was sent to it. A service needs none.</summary>
    public string? Challenge { get; init; }
}

/// <summary>A device that is registered.</summary>
/// <param name="DeviceId">Follows from the token: the same token is the same device.</param>
public sealed record RegisteredDevice(string DeviceId);

/// <summary>A device that is another user's until the app has proved that it runs on it.</summary>
/// <param name="DeviceId">Follows from the token.</param>
/// <param name="Challenge"><c>sent</c>: a code is on its way to the device.</param>
/// <param name="ExpiresAt">Until when the code counts.</param>
public sealed record ChallengedDevice(string DeviceId, string Challenge, DateTimeOffset ExpiresAt);

/// <summary>The shape of a device.</summary>
public sealed class RegisterDeviceValidator : AbstractValidator<RegisterDevice>
{
    /// <summary>The rules.</summary>
    public RegisterDeviceValidator(OutboundGuard? guard = null, MasterKeyRing? ring = null) =>
        RuleFor(d => d)
            .Custom(
                (d, context) =>
                {
                    foreach (
                        var (field, fault) in ContactRules
                            .CheckDevice(d.Platform, d.Token, d.Subscription, guard)
                            .Concat(AppRules.Check(d.Platform, d.App, d.Environment, ring))
                    )
                        context.AddFailure(field, fault);
                }
            );
}

/// <summary>A user's devices: one user has many, a device has one user.</summary>
public static class Devices
{
    /// <summary>How many devices of a user are kept: a push to the user is tried on each.</summary>
    public const int Most = 100;

    private const string ChallengeFault = "is wrong or has expired; register without it, and the device gets a new one";

    // Said again within this time, nothing has happened: apps register at every start.
    private static readonly TimeSpan Renewal = TimeSpan.FromDays(1);

    /// <summary>A device's ID, which follows from its token: the same token is the same device.</summary>
    public static string IdOf(IFingerprints ring, RegisterDevice device) => DeviceIds.Of(ring, device.Platform!.Value, AddressIn(device));

    /// <summary>The IDs that earlier versions gave to the same device by another spelling of its token.</summary>
    internal static IReadOnlyList<string> EarlierIdsOf(IFingerprints ring, RegisterDevice device) =>
        device is { Platform: Platform.Ios, Token: { } token } ? DeviceIds.EarlierOf(ring, token) : [];

    /// <summary>The texts that these IDs are hashes of.</summary>
    internal static IEnumerable<HashedText> HashedTextsOf(RegisterDevice device) =>
        (device is { Platform: Platform.Ios, Token: { } token } ? DeviceIds.EarlierSpellings(token) : [])
            .Append(AddressIn(device))
            .Select(a => HashedText.OfDevice(device.Platform!.Value, a));

    private static string AddressIn(RegisterDevice device) =>
        device.Token is null ? device.Subscription!.Endpoint! : DeviceIds.Spelled(device.Platform!.Value, device.Token);

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder app)
    {
        app.MapPost("/v1/users/{userId}/devices", RegisterAsync)
            .RequireScope(Scopes.Recipients)
            .OrToken(TokenGrants.Devices)
            .WithName("RegisterDevice")
            .WithTags("Recipients")
            .WithSummary("Register a device")
            .WithDescription(
                "The same token again is the same device; a token moves to its latest "
                    + "user. Where an app registers a token that is another user's, the answer is 202 and nothing moves yet: a code goes "
                    + "to the device by push, as `notifyDeviceChallenge` in its data, and the app registers again with it as `challenge`. "
                    + "Knowing a token is no proof. A service's key moves a device at once. A user has at most 100: the one registered "
                    + "longest ago makes room. Let the app call this at every start: it keeps the token fresh, and is an event only where "
                    + "it tells something new, or once a day."
            )
            .Takes(
                "An iPhone",
                new RegisterDevice { Platform = Platform.Ios, Token = "a0a0c1f2e3d4b5a69788796a5b4c3d2e1f00112233445566778899aabbccddee" }
            )
            .Takes(
                "An iPhone with one of several apps",
                new RegisterDevice
                {
                    Platform = Platform.Ios,
                    Token = "a0a0c1f2e3d4b5a69788796a5b4c3d2e1f00112233445566778899aabbccddee",
                    App = "dev.notify.app",
                    Environment = PushEnvironment.Production,
                }
            )
            .Takes(
                "An Android phone",
                new RegisterDevice { Platform = Platform.Android, Token = "dQw4w9WgXcQ:APA91bH-example-registration-token" }
            )
            .Takes(
                "A browser",
                new RegisterDevice
                {
                    Platform = Platform.Web,
                    Subscription = new WebPushSubscription
                    {
                        Endpoint = "https://push.example.com/send/0123456789",
                        Keys = new WebPushKeys
                        {
                            P256dh = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
                            Auth = "BTBZMqHH6r4Tts7J_aSIgg",
                        },
                    },
                }
            )
            .Answers(201, "It is registered.", new RegisteredDevice("d_7kQ2mX0aVbN3sT9yLpR4wE"), "Location")
            .Answers(
                202,
                "It is another user's: a code was sent to it, by which the app proves that it runs there.",
                new ChallengedDevice("d_7kQ2mX0aVbN3sT9yLpR4wE", "sent", new DateTimeOffset(2126, 12, 1, 9, 20, 0, TimeSpan.Zero))
            );
        app.MapDelete("/v1/users/{userId}/devices/{deviceId}", RemoveAsync)
            .RequireScope(Scopes.Recipients)
            .OrToken(TokenGrants.Devices)
            .WithName("RemoveDevice")
            .WithTags("Recipients")
            .WithSummary("Remove a device")
            .WithDescription("The user is not reached on it any more, also not by what is planned already.")
            .Answers(204, "It is removed.")
            .FailsNotFound("such device of this user");
    }

    private static async Task<IResult> RegisterAsync(
        string userId,
        HttpContext http,
        IDocumentStore store,
        UserReferences users,
        SubjectKeys keys,
        MasterKeyRing ring,
        RegisterDeviceValidator validator,
        DeviceChallenge challenge,
        AppRules apps,
        TimeProvider clock
    )
    {
        if (!Identifiers.IsUserId(userId))
            return Problem.Invalid(new Dictionary<string, string[]> { ["userId"] = [Identifiers.UserIdRule] });
        var (device, problem) = await RequestBody.ReadAsync(http.Request, validator);
        if (device is null)
            return problem!;
        var app = DeviceApp.Of(device.App, device.Environment);
        if (await apps.FaultAsync(app, http.RequestAborted) is { } fault)
            return Problem.Invalid(new Dictionary<string, string[]> { ["app"] = [fault] });

        var userRef = await users.FindAsync(userId, http.RequestAborted);
        var userIds = new Dictionary<string, string> { [Recipient.KeyOf(userRef)] = userId };
        var address = DeviceAddresses.Of(device.Platform!.Value, device.Token, device.Subscription);
        var prints = await ring.ReadAsync(store, HashedTextsOf(device), http.RequestAborted);
        var deviceId = IdOf(prints, device);
        var by = Callers.NameOf(http);
        var owner = userRef;
        var mayMove = Callers.TokenOf(http) is null || challenge.IsProof(deviceId, userRef, device.Challenge);
        var isAnothers = false;
        var earlier = await HoldersAsync(store, EarlierIdsOf(prints, device), http.RequestAborted);
        if (!mayMove && earlier.Any(e => e.UserRef != userRef))
            return await ChallengeAsync(http, challenge, device, deviceId, userRef);
        await RecipientChanges.RunAsync(
            store,
            userRef,
            clock,
            async (session, recipient, now) =>
            {
                if (isAnothers)
                    return [];
                if (owner != userRef)
                    session.Events.Append(
                        Recipient.KeyOf(owner),
                        new DeviceRemoved(deviceId, DeviceRemovalReasons.MovedToAnotherUser, by, now)
                    );
                var subject = Recipient.KeyOf(userRef);
                // A repeated registration renews the token's age, even without any change: older reports of a provider about it do not
                // count.
                session.QueueSqlCommand("update notify.devices set registered_at = ? where device_id = ?", now, deviceId);
                var known = recipient?.Devices.Find(d => d.Id == deviceId);
                if (
                    owner == userRef
                    && known is not null
                    && now - known.RegisteredAt < Renewal
                    && (app is null || app == known.App)
                    && (await keys.ForAsync(session.Connection!, [known.Token], http.RequestAborted)).OpenText(
                        known.Token,
                        SealedPlace.OfToken(subject, deviceId)
                    ) == address
                )
                    return [];
                var current = await keys.CurrentAsync(session.Connection!, [subject], http.RequestAborted, userIds);
                var last = await CrowdAsync(session.Connection!, recipient, 1, http.RequestAborted);
                var tooMany = recipient is null ? [] : TooMany(recipient, deviceId, last);
                return
                [
                    .. tooMany.Select(d => new DeviceRemoved(d, DeviceRemovalReasons.TooMany, by, now)),
                    new DeviceRegistered(
                        deviceId,
                        device.Platform!.Value,
                        current.Seal(subject, SealedPlace.OfToken(subject, deviceId), address),
                        by,
                        now,
                        app ?? known?.App
                    ),
                ];
            },
            http.RequestAborted,
            first: async session =>
            {
                await DeviceTable.TakeAsync(session.Connection!, [deviceId], [userRef], http.RequestAborted);
                var (_, holder) = (await DeviceTable.HoldersAsync(session, [deviceId], http.RequestAborted)).Single();
                isAnothers = holder != userRef && !mayMove;
                if (!isAnothers)
                    await DeviceTable.MoveAsync(session.Connection!, [deviceId], [userRef], http.RequestAborted);
                return owner = isAnothers ? userRef : holder;
            }
        );
        if (isAnothers)
            return await ChallengeAsync(http, challenge, device, deviceId, userRef);
        // This comes last: with any failure in between, the device is registered once or twice, and never not at all.
        foreach (var (id, holder) in earlier)
            await RemoveEarlierAsync(store, holder, id, by, clock, http.RequestAborted);
        return Results.Created($"/v1/users/{userId}/devices/{deviceId}", new RegisteredDevice(deviceId));
    }

    /// <summary>Returns those of these devices that have a user.</summary>
    internal static async Task<IReadOnlyList<(string DeviceId, string UserRef)>> HoldersAsync(
        IDocumentStore store,
        IReadOnlyList<string> deviceIds,
        CancellationToken cancellation
    )
    {
        if (deviceIds.Count == 0)
            return [];
        await using var session = store.QuerySession();
        return await DeviceTable.HoldersAsync(session, [.. deviceIds], cancellation);
    }

    /// <summary>Removes a device that is registered anew under the ID of the usual spelling.</summary>
    internal static Task RemoveEarlierAsync(
        IDocumentStore store,
        string holder,
        string deviceId,
        string by,
        TimeProvider clock,
        CancellationToken cancellation
    ) =>
        RecipientChanges.RunAsync(
            store,
            holder,
            clock,
            async (session, recipient, now) =>
            {
                await DeviceTable.ForgetAsync(session.Connection!, holder, deviceId, cancellation);
                return recipient?.Devices.Any(d => d.Id == deviceId) == true
                    ? [new DeviceRemoved(deviceId, DeviceRemovalReasons.OtherSpelling, by, now)]
                    : [];
            },
            cancellation,
            first: session => DeviceTable.HoldAsync(session.Connection!, holder, cancellation)
        );

    private static async Task<IResult> ChallengeAsync(
        HttpContext http,
        DeviceChallenge challenge,
        RegisterDevice device,
        string deviceId,
        string userRef
    )
    {
        if (device.Challenge is not null)
            return Problem.Invalid(new Dictionary<string, string[]> { ["challenge"] = [ChallengeFault] });
        var until = await challenge.SendAsync(Callers.Of(http), device, deviceId, userRef, http.RequestAborted);
        return Results.Json(new ChallengedDevice(deviceId, "sent", until), statusCode: StatusCodes.Status202Accepted);
    }

    private static async Task<IResult> RemoveAsync(
        string userId,
        string deviceId,
        HttpContext http,
        IDocumentStore store,
        UserReferences users,
        TimeProvider clock
    )
    {
        var userRef = await users.FindAsync(userId, http.RequestAborted);
        var found = false;
        await RecipientChanges.RunAsync(
            store,
            userRef,
            clock,
            async (session, recipient, now) =>
            {
                found = recipient is not null && recipient.Devices.Any(d => d.Id == deviceId);
                if (!found)
                    return [];
                await DeviceTable.ForgetAsync(session.Connection!, userRef, deviceId, http.RequestAborted);
                return [new DeviceRemoved(deviceId, DeviceRemovalReasons.ByRequest, Callers.NameOf(http), now)];
            },
            http.RequestAborted,
            first: session => DeviceTable.HoldAsync(session.Connection!, userRef, http.RequestAborted)
        );
        return found ? Results.NoContent() : Problem.NotFound("such device of this user");
    }

    /// <summary>When a user's devices were last registered, if so many more could be too many; else nothing is asked.</summary>
    internal static async Task<Dictionary<string, DateTimeOffset>> CrowdAsync(
        NpgsqlConnection connection,
        Recipient? recipient,
        int more,
        CancellationToken cancellation
    ) =>
        recipient is null || recipient.Devices.Count + more <= Most
            ? []
            : await DeviceTable.LastRegisteredAsync(connection, [.. recipient.Devices.Select(d => d.Id)], cancellation);

    /// <summary>When a device was last registered.</summary>
    /// <param name="last">The times in <c>notify.devices</c>; the user's stream lacks registrations that changed nothing.</param>
    internal static DateTimeOffset LastRegistered(Device device, IReadOnlyDictionary<string, DateTimeOffset> last) =>
        last.TryGetValue(device.Id, out var later) && later > device.RegisteredAt ? later : device.RegisteredAt;

    /// <summary>Which of a user's devices make room for one: those that were registered longest ago.</summary>
    /// <param name="last">See <see cref="LastRegistered"/>.</param>
    internal static IReadOnlyList<string> TooMany(Recipient recipient, string deviceId, IReadOnlyDictionary<string, DateTimeOffset> last)
    {
        var others = recipient.Devices.RemoveAll(d => d.Id == deviceId);
        return [.. others.OrderBy(d => LastRegistered(d, last)).Take(others.Count + 1 - Most).Select(d => d.Id)];
    }
}
