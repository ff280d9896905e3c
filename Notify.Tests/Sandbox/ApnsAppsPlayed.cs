namespace Notify.Tests.Sandbox;

using System.Security.Cryptography;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Providers.Apns;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Tests.Support;

/// <summary>Several APNs apps and environments, against a server that knows each token for one of them alone.</summary>
/// <remarks>Apple: Handling notification responses from APNs, <c>BadDeviceToken</c> and <c>DeviceTokenNotForTopic</c>.</remarks>
[Collection(PlayedSandboxCollection.Name)]
public sealed class ApnsAppsPlayed(PlayedSandbox sandbox)
{
    private const string Ordinary = "0000",
        OfLastApp = "a992",
        OfDevelopment = "5a9d";

    [Theory]
    [InlineData(OfLastApp, PlayedSandbox.SecondTopic, null, null)]
    [InlineData(OfLastApp, null, null, "DeviceTokenNotForTopic")]
    [InlineData(OfDevelopment, null, PushEnvironment.Sandbox, null)]
    [InlineData(OfDevelopment, null, PushEnvironment.Production, "BadDeviceToken")]
    [InlineData(Ordinary, null, null, null)]
    public async Task Push_reaches_the_app_and_environment_that_its_device_names(
        string begins,
        string? app,
        PushEnvironment? environment,
        string? refused
    )
    {
        using var key = ECDsa.Create();
        key.ImportFromPem(await File.ReadAllTextAsync(Path.Combine(TestRun.SandboxHome, "apns-auth-key.p8"), Cancellation));
        var options = new ApnsOptions
        {
            TeamId = sandbox.Account("apnsTeamId"),
            KeyId = sandbox.Account("apnsKeyId"),
            Topic = sandbox.Account("apnsTopic"),
            BaseUrl = sandbox.ApnsUrl,
            TrustedCaPath = Path.Combine(TestRun.SandboxHome, "apns-ca.pem"),
            Apps = new()
            {
                ["second"] = new ApnsAppOptions { Topic = PlayedSandbox.SecondTopic },
                ["development"] = new ApnsAppOptions
                {
                    Topic = sandbox.Account("apnsTopic"),
                    Environment = "sandbox",
                    BaseUrl = sandbox.ApnsDevelopmentUrl,
                },
            },
        };
        var faults = new List<string>();
        var further = ApnsApps.Further(options, key, "Providers:Apns", faults);
        Assert.Empty(faults);
        using var provider = new ApnsProvider(options, key, TimeProvider.System, further);
        var message = new OutboundMessage(
            Guid.NewGuid(),
            begins + RandomNumberGenerator.GetHexString(60, lowercase: true),
            new NotificationContent(Body: "b"),
            Priority.Normal,
            null,
            App: DeviceApp.Of(app, environment)
        );

        var outcome = await provider.SendAsync(message, Cancellation);

        // A refusal says nothing about the token: only the setting, or what the device named, may be wrong. It is kept.
        if (refused is not null)
            Assert.Equal(new AttemptOutcome.Rejected(Reasons.BadAddress, refused), outcome);
        else
            Assert.IsType<AttemptOutcome.Accepted>(outcome);
    }

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;
}
