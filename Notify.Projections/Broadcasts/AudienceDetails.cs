using Marten;
using Notify.Domain.Broadcasts;
using Notify.Domain.Recipients;
using Notify.Projections.Privacy;
using Npgsql;

namespace Notify.Projections.Broadcasts;

/// <summary>Which users' own details, sealed as they are, are as an audience wants them.</summary>
public sealed class AudienceDetails(SubjectKeys keys)
{
    private const int Piece = 500, MostPieces = 10;

    /// <summary>Those of a piece of the audience, in its order, who have what it asks for.</summary>
    public async Task<List<string>> OfAsync(IQuerySession session, NpgsqlConnection connection, Audience audience, List<string> users, CancellationToken cancellation)
    {
        if (!audience.AsksForDetails || users.Count == 0) return users;
        var known = (await session.LoadManyAsync<Recipient>(cancellation, users.Select(Recipient.KeyOf)))
            .Where(r => r.Details is not null).ToDictionary(r => r.Id, StringComparer.Ordinal);
        var open = await keys.ForAsync(connection, known.Values.Select(r => r.Details!.Value), cancellation);
        return [.. users.Where(u => audience.Has(open.DetailsOf(known.GetValueOrDefault(Recipient.KeyOf(u)))))];
    }

    /// <summary>Whether nobody belongs to an audience now. Where details decide, the first 5,000 are looked at; if there are more, somebody may.</summary>
    public async Task<bool> IsNobodyAsync(IQuerySession session, NpgsqlConnection connection, Audience audience, CancellationToken cancellation)
    {
        if (!audience.AsksForDetails) return await AudienceReader.IsEmptyAsync(connection, audience, cancellation);
        var (after, isLast) = ("", false);
        for (var i = 0; i < MostPieces && !isLast; i++)
        {
            (var users, after, isLast) = await AudienceReader.NextAsync(connection, audience, after, Piece, cancellation);
            if ((await OfAsync(session, connection, audience, users, cancellation)).Count > 0) return false;
        }

        return isLast;
    }
}
