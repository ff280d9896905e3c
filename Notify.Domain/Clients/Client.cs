namespace Notify.Domain.Clients;

using System.Collections.Immutable;

/// <summary>A secret that still counts.</summary>
public sealed record ClientSecret(string Id, string Hash, DateTimeOffset IssuedAt);

/// <summary>A service that calls Notify; snapshot of the stream <c>c/{clientId}</c>.</summary>
/// <param name="Id">The stream key.</param>
/// <param name="Secrets">At most <see cref="MaxSecrets"/>.</param>
/// <param name="AcceptPerSecond">Its accept limit; 0: none; <c>null</c>: the installation's.</param>
/// <param name="Send">The limits of its scope <c>send</c> as they were given; <c>null</c>: none were. Ask <see cref="Sending"/>.</param>
public sealed record Client(
    string Id,
    string ClientId,
    string Name,
    ClientMode Mode,
    ImmutableList<string> Scopes,
    ImmutableList<ClientSecret> Secrets,
    bool IsDisabled = false,
    int? AcceptPerSecond = null,
    int? AcceptBurst = null,
    SendGrant? Send = null
)
{
    /// <summary>Two secrets may be active at a time, so that one can be replaced without a pause.</summary>
    public const int MaxSecrets = 2;

    /// <summary>
    /// The limits within which it may send. With <c>operate</c> or <c>admin</c> it may mark a category as required and register clients, so
    /// that passing opt-outs and reaching everybody add nothing to its powers.
    /// </summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public SendGrant Sending
    {
        get
        {
            var grant = Send ?? SendGrant.Ordinary;
            return Scopes.Contains(Clients.Scopes.Operate) || Scopes.Contains(Clients.Scopes.Admin)
                ? grant with
                {
                    Required = true,
                    BroadcastToAll = true,
                }
                : grant;
        }
    }

    /// <summary>The stream key of a client.</summary>
    public static string KeyOf(string clientId) => $"c/{clientId}";

    /// <summary>Folds one event into a client.</summary>
    public static Client? Evolve(Client? state, string key, object @event) =>
        @event switch
        {
            ClientRegistered e => new Client(
                key,
                e.ClientId,
                e.Name,
                e.Mode,
                [.. e.Scopes],
                [],
                false,
                e.AcceptPerSecond,
                e.AcceptBurst,
                e.Send
            ),
            ClientPowersChanged e => state! with { Scopes = [.. e.Scopes], Send = e.Send },
            SecretIssued e => state! with { Secrets = state.Secrets.Add(new ClientSecret(e.SecretId, e.Hash, e.At)) },
            SecretRehashed e => state! with { Secrets = [.. state.Secrets.Select(s => s.Id == e.SecretId ? s with { Hash = e.Hash } : s)] },
            SecretRevoked e => state! with { Secrets = state.Secrets.RemoveAll(s => s.Id == e.SecretId) },
            ClientDisabled => state! with { IsDisabled = true },
            _ => state,
        };
}
