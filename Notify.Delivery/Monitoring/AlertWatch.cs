namespace Notify.Delivery.Monitoring;

using System.Diagnostics.Metrics;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Notify.Delivery.Telemetry;
using Notify.Infrastructure.Hosting;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>
/// Evaluates alerts and reports each once. Runs on every Dispatch and Projections host; one host at a time evaluates. An alert, its
/// counts and its post are written in one transaction, so that none is lost or reported twice.
/// </summary>
public sealed class AlertWatch(
    NpgsqlDataSource database,
    StandingFaults standing,
    AlertRules rules,
    IConfiguration configuration,
    TimeProvider clock,
    ILogger<AlertWatch> log
) : BackgroundService
{
    private const long Lock = 0x6e6f74_616c72; // any number that nothing else locks
    private readonly Uri publicUrl = configuration.PublicUrl();
    private volatile IReadOnlyList<TroubleKind> open = [];

    /// <summary>Evaluates all alerts once.</summary>
    /// <returns>The changes of alerts; <c>null</c> when another host evaluates them.</returns>
    public async Task<Judgement?> JudgeAsync(CancellationToken cancellation)
    {
        await using var connection = await database.OpenConnectionAsync(cancellation);
        await using var transaction = await connection.BeginTransactionAsync(cancellation);
        await using (
            var command = new NpgsqlCommand("select pg_try_advisory_xact_lock($1)", connection)
            {
                Parameters = { new NpgsqlParameter { Value = Lock } },
            }
        )
        {
            if (await command.ExecuteScalarAsync(cancellation) is not true)
            {
                open = [.. (await TroubleTable.OpenAsync(connection, cancellation)).Select(t => t.Kind)];
                return null;
            }
        }

        var now = clock.GetUtcNow();
        var known = await TroubleTable.OpenAsync(connection, cancellation);
        var judgement = TroubleDecider.Decide(
            rules,
            new Evidence(
                await TroubleTable.CallsAsync(connection, now.AddHours(-1), now - (10 * rules.Window) - rules.Bucket, cancellation),
                await standing.ReadAsync(connection, rules, now, cancellation),
                known,
                await TroubleTable.RecoveredAsync(connection, now.AddHours(-1), cancellation),
                await ProviderStateTable.DivertedAsync(connection, cancellation)
            ),
            now
        );

        foreach (var trouble in judgement.Going.Except(known))
            await TroubleTable.PutAsync(connection, trouble, cancellation);
        var notices = new List<AlertNotice>();
        foreach (var trouble in judgement.Opened.Concat(judgement.Recovered))
        {
            await TroubleTable.PutAsync(connection, trouble, cancellation);
            var notice = AlertNotice.Of(trouble, await TroubleTable.DeadLettersAsync(connection, trouble, cancellation), publicUrl);
            if (rules.WebhookUrl is not null)
                await NoticeTable.AddAsync(connection, trouble, notice, now, cancellation);
            notices.Add(notice);
        }

        await transaction.CommitAsync(cancellation);
        foreach (var notice in notices)
            Tell(notice);
        open = [.. judgement.Opened.Concat(judgement.Going).Select(t => t.Kind)];
        return judgement;
    }

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        Telemetry.ObserveAlerts(() =>
            Enum.GetValues<TroubleKind>()
                .Select(kind => new Measurement<int>(
                    open.Count(k => k == kind),
                    new KeyValuePair<string, object?>("kind", System.Text.Json.JsonNamingPolicy.SnakeCaseLower.ConvertName(kind.ToString()))
                ))
        );
        using var timer = new PeriodicTimer(rules.Pace, clock);
        while (await timer.NextAsync(stoppingToken))
        {
            try
            {
                await JudgeAsync(stoppingToken);
            }
            catch (Exception e)
            {
                if (stoppingToken.IsCancellationRequested)
                    return;
                if (DatabaseFaults.IsPassing(e))
                    log.LogWarning("It could not be judged whether all is well ({Reason}); it is tried again.", e.Message.Split('\n')[0]);
                else
                    log.LogError(e, "It could not be judged whether all is well; it is tried again.");
            }
        }
    }

    private void Tell(AlertNotice n)
    {
        if (n.RecoveredAt is null)
            log.LogError(
                "ALERT {Summary}. Dead letters there: {DeadLetters}. {WhatToDo} {Link} (alert {Alert})",
                n.Summary,
                n.DeadLetters,
                n.WhatToDo,
                n.Link?.ToString() ?? "",
                n.AlertId
            );
        else
            log.LogWarning(
                "ALERT {Summary}. It lasted {Seconds} s. Dead letters there: {DeadLetters}. {Link} (alert {Alert})",
                n.Summary,
                n.DurationSeconds,
                n.DeadLetters,
                n.Link?.ToString() ?? "",
                n.AlertId
            );
    }
}
