namespace Notify.Api.Recipients;

using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Notify.Api.Access;
using Notify.Api.Notifications;
using Notify.Delivery.Privacy;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Recipients;
using Notify.Infrastructure.Json;

/// <summary>
/// Lets an app prove that it runs on a device that is registered for another user: a code goes to the device by push, and the app
/// registers again with it. To know a push token is no proof, since logs and backups know it too.
/// </summary>
/// <remarks>The code follows from device, user and time under the installation's secret, so nothing is kept of it.</remarks>
public sealed class DeviceChallenge(MasterKeyRing ring, Acceptance acceptance, TimeProvider clock)
{
    /// <summary>The name of the code in the push's data.</summary>
    public const string DataName = "notifyDeviceChallenge";

    /// <summary>How often a new code begins; each counts for this time and the one after it.</summary>
    public static readonly TimeSpan Period = TimeSpan.FromMinutes(10);

    /// <summary>Whether a code proves that the app runs on the device.</summary>
    public bool IsProof(string deviceId, string userRef, string? code) =>
        code is not null
        && new[] { Now, Now - 1 }
            .SelectMany(n => ring.Peppers.InUse.Select(p => CodeOf(p, deviceId, userRef, n)))
            .Any(c => CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(code), Encoding.UTF8.GetBytes(c)));

    /// <summary>Sends the code to the device, once in each <see cref="Period"/> however often it is asked for.</summary>
    /// <returns>Until when the code counts.</returns>
    public async Task<DateTimeOffset> SendAsync(
        Client client,
        RegisterDevice device,
        string deviceId,
        string userRef,
        CancellationToken cancellation
    )
    {
        var (number, pepper) = (Now, ring.Peppers.CurrentId);
        var until = new DateTimeOffset((number + 2) * Period.Ticks, TimeSpan.Zero);
        var isBrowser = device.Platform == Platform.Web; // browsers get no push without words
        var request = new RequestNotification
        {
            EventId = $"{ClientToken.EventIdPrefix}challenge:" + MacOf(pepper, "device-challenge-event", deviceId, userRef, number)[..22],
            To = new RequestedRecipient
            {
                Device = new RequestedDevice
                {
                    Platform = device.Platform,
                    Token = device.Token,
                    Subscription = device.Subscription,
                    App = device.App,
                    Environment = device.Environment,
                },
            },
            Channels = [Channel.Push],
            Category = "device-challenge",
            Priority = Priority.Critical,
            ExpiresAt = until,
            Content = new RequestedContent
            {
                Title = isBrowser ? "Confirm this device" : null,
                Body = isBrowser ? "Open the app to go on." : null,
                Data = JsonSerializer.SerializeToElement(
                    new Dictionary<string, string> { [DataName] = CodeOf(pepper, deviceId, userRef, number) }
                ),
            },
        };
        var received = acceptance.ReceivedOf(JsonSerializer.SerializeToElement(request, NotifyJson.Options));
        await acceptance.AcceptAsync(client, request, received, aborted: cancellation);
        return until;
    }

    private long Now => clock.GetUtcNow().UtcTicks / Period.Ticks;

    private string CodeOf(string pepper, string deviceId, string userRef, long number) =>
        MacOf(pepper, "device-challenge", deviceId, userRef, number)[..32];

    private string MacOf(string pepper, string purpose, string deviceId, string userRef, long number) =>
        Base64Url.EncodeToString(ring.Peppers.Mac(pepper, purpose, Encoding.UTF8.GetBytes($"{deviceId}\n{userRef}\n{number}")));
}
