namespace Notify.Api.Clients;

using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Text.Json;
using FluentValidation;
using Marten;
using Notify.Delivery.Hosting;
using Notify.Delivery.Privacy;
using Notify.Domain.Channels;
using Notify.Domain.Clients;

/// <summary>The command <c>create-client</c>.</summary>
public static class CreateClientCommand
{
    /// <summary>
    /// Registers a client for an operator and prints its key and secret as one line of JSON. Settings: <c>name</c>, <c>mode</c>,
    /// <c>scopes</c>, <c>categories</c>, <c>channels</c>, <c>required</c>, <c>broadcastToAll</c>, <c>acceptPerSecond</c>,
    /// <c>acceptBurst</c>.
    /// </summary>
    /// <returns>The exit code.</returns>
    public static async Task<int> RunAsync(IServiceProvider services, IConfiguration settings)
    {
        var scopes = settings["scopes"]?.Split(',') ?? [.. Scopes.All];
        if (scopes.Except(Scopes.All).FirstOrDefault() is { } unknown)
            return NotifyHost.Fail("notify-api", $"\"{unknown}\" is not a scope; scopes are {string.Join(", ", Scopes.All)}");
        if (!Enum.TryParse<ClientMode>(settings["mode"] ?? "live", ignoreCase: true, out var mode))
            return NotifyHost.Fail("notify-api", "--mode is live or test");
        if (!IsLimit(settings["acceptPerSecond"], out var perSecond) || !IsLimit(settings["acceptBurst"], out var burst))
            return NotifyHost.Fail("notify-api", "--acceptPerSecond and --acceptBurst are whole numbers");
        if (!TryGrants(settings, out var grants))
            return NotifyHost.Fail(
                "notify-api",
                "--channels are some of push, sms and email, separated by commas; --required and --broadcastToAll are true or false"
            );
        var client = new CreateClient
        {
            Name = settings["name"] ?? "development",
            Mode = mode,
            Scopes = scopes,
            Grants = grants,
            AcceptPerSecond = perSecond,
            AcceptBurst = burst,
        };
        if (new CreateClientValidator().Validate(client) is { IsValid: false } found)
            return NotifyHost.Fail(
                "notify-api",
                string.Join("; ", found.Errors.Select(e => $"--{JsonNamingPolicy.CamelCase.ConvertName(e.PropertyName)} {e.ErrorMessage}"))
            );
        await services.GetRequiredService<HostKeys>().FollowFormatAsync();
        var (key, secret) = await ClientEndpoints.RegisterAsync(
            services.GetRequiredService<IDocumentStore>(),
            services.GetRequiredService<MasterKeyRing>(),
            client,
            "operator",
            services.GetRequiredService<TimeProvider>().GetUtcNow(),
            default
        );
        Console.WriteLine(JsonSerializer.Serialize(new { appKey = key, appSecret = secret }));
        return 0;
    }

    private static bool TryGrants(IConfiguration settings, out ClientGrants? grants)
    {
        grants = null;
        string?[] given = [settings["categories"], settings["channels"], settings["required"], settings["broadcastToAll"]];
        if (given.All(g => g is null))
            return true;
        var channels = given[1]
            ?.Split(',')
            .Select(c => Enum.TryParse<Channel>(c, ignoreCase: true, out var channel) ? channel : (Channel?)null)
            .ToList();
        if (channels?.Contains(null) == true || !IsChoice(given[2], out var required) || !IsChoice(given[3], out var toAll))
            return false;
        grants = new ClientGrants
        {
            Send = new SendLimits
            {
                Categories = given[0]?.Split(','),
                Channels = channels?.OfType<Channel>().ToList(),
                Required = required,
                BroadcastToAll = toAll,
            },
        };
        return true;
    }

    private static bool IsChoice(string? text, out bool? choice)
    {
        choice = bool.TryParse(text, out var value) ? value : null;
        return text is null || choice is not null;
    }

    private static bool IsLimit(string? text, out int? limit)
    {
        limit = int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : null;
        return text is null || limit is not null;
    }
}
