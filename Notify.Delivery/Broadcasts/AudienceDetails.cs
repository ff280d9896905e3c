namespace Notify.Delivery.Broadcasts;

using Marten;
using Notify.Delivery.Privacy;
using Notify.Domain.Broadcasts;
using Notify.Domain.Recipients;
using Npgsql;

/// <summary>Finds the users whose encrypted details match an audience.</summary>
public sealed class AudienceDetails(SubjectKeys keys)
{
    private const int Piece = 500,
        MostPieces = 10;

    /// <summary>Returns the users of a page of the audience whose details match, in order.</summary>
    public async Task<List<string>> OfAsync(
        IQuerySession session,
        NpgsqlConnection connection,
        Audience audience,
        List<string> users,
        CancellationToken cancellation
    )
    {
        if (!audience.AsksForDetails || users.Count == 0)
            return users;
        var known = (await session.LoadManyAsync<Recipient>(cancellation, users.Select(Recipient.KeyOf)))
            .Where(r => r.Details is not null)
            .ToDictionary(r => r.Id, StringComparer.Ordinal);
        var open = await keys.ForAsync(connection, known.Values.Select(r => r.Details!.Value), cancellation);
        return [.. users.Where(u => audience.Has(open.DetailsOf(known.GetValueOrDefault(Recipient.KeyOf(u)))))];
    }

    /// <summary>
    /// Whether an audience has no user now. Where details decide, the first 5,000 are checked; if there are more, it may have one.
    /// </summary>
    public async Task<bool> IsNobodyAsync(
        IQuerySession session,
        NpgsqlConnection connection,
        Audience audience,
        CancellationToken cancellation
    )
    {
        if (!audience.AsksForDetails)
            return await AudienceReader.IsEmptyAsync(connection, audience, cancellation);
        var (after, isLast) = ("", false);
        for (var i = 0; i < MostPieces && !isLast; i++)
        {
            (var users, after, isLast) = await AudienceReader.NextAsync(connection, audience, after, Piece, cancellation);
            if ((await OfAsync(session, connection, audience, users, cancellation)).Count > 0)
                return false;
        }

        return isLast;
    }
}
