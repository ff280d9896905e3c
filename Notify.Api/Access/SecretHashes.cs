namespace Notify.Api.Access;

using System.Collections.Concurrent;
using System.Threading.Channels;
using Marten;
using Notify.Api.Contract;
using Notify.Delivery.Privacy;
using Notify.Domain.Clients;

/// <summary>
/// Hashes clients' secrets anew after the pepper was replaced: at a successful login, when the secret is known, and beside the request.
/// </summary>
public sealed class SecretHashes(IDocumentStore store, MasterKeyRing ring, TimeProvider clock, ILogger<SecretHashes> log)
    : BackgroundService
{
    private readonly Channel<(string ClientId, string SecretId, string Secret)> waiting = Channel.CreateBounded<(string, string, string)>(
        new BoundedChannelOptions(1000) { FullMode = BoundedChannelFullMode.Wait }
    );

    private readonly ConcurrentDictionary<(string ClientId, string SecretId), bool> noted = new();

    /// <summary>Notes a secret whose hash is under a former pepper.</summary>
    public void Note(string clientId, string secretId, string secret)
    {
        if (noted.TryAdd((clientId, secretId), true) && !waiting.Writer.TryWrite((clientId, secretId, secret)))
            noted.TryRemove((clientId, secretId), out _); // full: its next login comes
    }

    /// <summary>Hashes a secret anew, where that was not done before.</summary>
    public Task RehashAsync(string clientId, string secretId, string secret, CancellationToken cancellation) =>
        StreamChanges.RunAsync<Client>(
            store,
            Client.KeyOf(clientId),
            clock,
            (_, client, now) =>
            {
                var kept = client?.Secrets.Find(s => s.Id == secretId);
                return Task.FromResult<IReadOnlyList<object>>(
                    kept is not null && Callers.IsOutdated(ring, kept) && Callers.Matches(ring, clientId, kept, secret)
                        ? [new SecretRehashed(secretId, Callers.Hash(ring, clientId, secretId, secret), now)]
                        : []
                );
            },
            cancellation
        );

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (await waiting.Reader.WaitToReadAsync(stoppingToken))
        {
            while (waiting.Reader.TryRead(out var next))
            {
                try
                {
                    await RehashAsync(next.ClientId, next.SecretId, next.Secret, stoppingToken);
                }
                catch (Exception e) when (!stoppingToken.IsCancellationRequested)
                {
                    log.LogWarning(
                        "A client's secret could not be hashed anew ({Reason}); it is tried again at its next login.",
                        e.Message.Split('\n')[0]
                    );
                }

                noted.TryRemove((next.ClientId, next.SecretId), out _);
            }
        }
    }
}
