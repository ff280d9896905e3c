namespace Notify.Tests.Projections.Verification;

using System.Globalization;
using Notify.Delivery.Suppressions;
using Notify.Domain.Categories;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Domain.Recipients;
using Notify.Domain.Suppressions;
using Notify.Domain.Templates;
using Notify.Domain.Topics;
using Notify.Projections.Rebuilding;
using Notify.Projections.Verification;
using Notify.Tests.Domain;
using Notify.Tests.Projections.Analytics;

/// <summary>Documents that were edited in the database, and events that were deleted there.</summary>
public sealed class SnapshotCheckTests(AnalyticsDatabase database) : IClassFixture<AnalyticsDatabase>
{
    private static readonly Dictionary<string, (string Table, object[] Events)> Kinds = new()
    {
        ["c/"] = (
            "client",
            [
                new ClientRegistered("c_1", "shop", ClientMode.Test, [Scopes.Read], "operator", Some.Noon, 5, 10),
                new SecretIssued("s_1", "2.hash", "operator", Some.Noon),
            ]
        ),
        ["u/"] = (
            "recipient",
            [
                new ContactDetailsGiven(Some.Sealed("d"), true, true, "e", "p", "c", Some.Noon),
                new TopicJoined("news", "c", Some.Noon),
                new DeviceRegistered("d_1", Platform.Ios, Some.Sealed("t"), "c", Some.Noon),
                new OptedOut(Channel.Sms, null, "c", "api", Some.Noon),
                new QuietHoursSet(new TimeOnly(22, 0), new TimeOnly(8, 0), "c", "api", Some.Noon),
                new TopicLeft("news", "c", Some.Noon),
            ]
        ),
        ["k/"] = (
            "category",
            [new CategoryDefined("x", false, new Dictionary<string, bool> { ["sms"] = true }, UnknownOutcome.Hold, "c", Some.Noon)]
        ),
        ["t/"] = (
            "template",
            [
                new TemplateDefined(
                    "x",
                    1,
                    new TemplateDefinition(
                        "shipping",
                        new ChannelTemplates(Sms: new SmsTemplate("Hello {{ name }}")),
                        new Dictionary<string, ChannelTemplates>(),
                        null,
                        new Dictionary<string, ParameterRule> { ["name"] = new(true, ParameterType.String) }
                    ),
                    "c",
                    Some.Noon
                ),
            ]
        ),
        ["l/"] = ("layout", [new LayoutDefined("x", 1, new LayoutDefinition("<p>{{ content }}</p>"), "c", Some.Noon)]),
        ["x/"] = ("access", [new AccessRecorded("c_1", "127.0.0.1", "GetNotification", "order-1", "c_2", 200, null, Some.Noon)]),
        ["w/email:"] = ("addresschoices", [new AddressOptedOut(Channel.Email, "f", "news", "recipient", "api", Some.Noon)]),
        ["o/"] = ("topic", [new TopicDefined("x", "News", "c", Some.Noon)]),
    };

    private readonly StoreBuilder builder = new(database);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("c/", "scopes", """{scopes}', '["admin"]""")]
    [InlineData("c/", "mode", """{mode}', '"live""" + "\"")]
    [InlineData("u/", "choices", """{choices}', '{}""")]
    [InlineData("u/", "phoneFingerprint", """{phoneFingerprint}', '"other""" + "\"")]
    [InlineData("k/", "required", """{required}', 'true""")]
    [InlineData("x/", "recorded", """{recorded,by}', '"nobody""" + "\"")]
    [InlineData("t/", "definition", """{definition,channels,sms,text}', '"Pay 12 at https://evil.example""" + "\"")]
    [InlineData("l/", "definition", """{definition,html}', '"<p>other {{ content }}</p>""" + "\"")]
    [InlineData("w/email:", "optedOut", """{optedOut}', '[]""")]
    [InlineData("o/", "name", """{name}', '"Other""" + "\"")]
    public async Task Edited_document_is_reported_and_written_anew_from_its_stream(string prefix, string field, string edit)
    {
        var key = await NewAsync(prefix);
        Assert.Empty(await FaultsAsync(key));
        var table = $"events.mt_doc_{Kinds[prefix].Table}";
        var before = await database.RowsAsync($"select data - 'version' as data, mt_version from {table} where id = '{key}'");
        await database.ExecuteAsync($"update {table} set data = jsonb_set(data, '{edit}') where id = '{key}'");

        var fault = Assert.Single(await FaultsAsync(key));
        Assert.Equal(VerificationFaultKind.SnapshotDiffers, fault.Kind);
        Assert.Equal(
            $"{key}: differs from its stream in {field} ({table}). To do: find out who edited the database; then write it anew "
                + $"from its stream: rebuild snapshots {key}.",
            fault.ToString()
        );

        Assert.Equal(0, await RebuildAsync(key));
        Assert.Empty(await FaultsAsync(key));
        Assert.Equal(before, await database.RowsAsync($"select data - 'version' as data, mt_version from {table} where id = '{key}'"));
    }

    [Fact]
    public async Task Every_table_of_documents_is_compared_but_for_read_models_of_their_own() =>
        Assert.Equal(
            Kinds.Values.Select(k => $"{{\"t\": \"mt_doc_{k.Table}\"}}").Order(),
            (
                await database.RowsAsync(
                    """
                    select relname as t from pg_class where relnamespace = 'events'::regnamespace and relkind = 'r'
                      and relname like 'mt\_doc\_%' and relname not in ('mt_doc_notificationview', 'mt_doc_deadletterevent', 'mt_doc_envelope')
                    """
                )
            ).Order()
        );

    [Theory]
    [InlineData("c/")]
    [InlineData("u/")]
    public async Task Document_that_is_missing_has_no_stream_or_cannot_be_read_is_reported(string prefix)
    {
        var table = $"events.mt_doc_{Kinds[prefix].Table}";
        var (missing, spare, broken) = (await NewAsync(prefix), await NewAsync(prefix), await NewAsync(prefix));
        var orphan = $"{prefix}orphan-{Guid.NewGuid():N}";
        await database.ExecuteAsync($"update {table} set id = '{orphan}' where id = '{missing}'");
        await database.ExecuteAsync($"update {table} set data = '[5]' where id = '{broken}'");

        Assert.Contains("has no row of", Assert.Single(await FaultsAsync(missing)).What, StringComparison.Ordinal);
        Assert.Contains("but no stream", Assert.Single(await FaultsAsync(orphan)).What, StringComparison.Ordinal);
        Assert.Contains("cannot be read", Assert.Single(await FaultsAsync(broken)).What, StringComparison.Ordinal);
        Assert.Empty(await FaultsAsync(spare));
        Assert.Equal(0, await RebuildAsync(missing, orphan, broken, spare));
        foreach (var key in new[] { missing, orphan, broken, spare })
            Assert.Empty(await FaultsAsync(key));
    }

    [Fact]
    public async Task Run_over_new_events_finds_an_edited_client_of_old_events_and_an_edited_user_of_new_ones()
    {
        var (client, old) = (await NewAsync("c/"), await NewAsync("u/"));
        var since = long.Parse(
            (await database.RowsAsync("select max(seq_id) as at from events.mt_events"))[0].Split(' ')[1].TrimEnd('}'),
            CultureInfo.InvariantCulture
        );
        var user = await NewAsync("u/");
        await database.ExecuteAsync(
            $"update events.mt_doc_client set data = jsonb_set(data, array['mode'], '\"live\"') where id = '{client}'"
        );
        await database.ExecuteAsync(
            $"update events.mt_doc_recipient set data = jsonb_set(data, array['choices'], '{"{}"}') where id in ('{user}', '{old}')"
        );

        var found = (await builder.Verifier().VerifyAsync(new VerificationScope(since), Cancellation)).Faults;
        Assert.Equal(
            [client, user],
            found.Where(f => f.Kind == VerificationFaultKind.SnapshotDiffers).Select(f => f.Stream).Intersect([client, user, old]).Order()
        );
        Assert.Single(await FaultsAsync(old)); // a full run reads every user
        Assert.Equal(0, await RebuildAsync(client, user, old));
    }

    [Fact]
    public async Task Edited_suppression_is_reported_column_by_column()
    {
        var print = $"print-{Guid.NewGuid():N}";
        await using (var session = database.Store.LightweightSession())
        {
            await SuppressionTable.SuppressAsync(
                session,
                [
                    new AddressToSuppress(
                        Channel.Email,
                        print,
                        SuppressionReasons.HardBounced,
                        "sendgrid",
                        "sendgrid",
                        null,
                        Some.Sealed("a")
                    ),
                ],
                Some.Noon,
                Cancellation
            );
            await session.SaveChangesAsync(Cancellation);
        }

        var key = Suppression.KeyOf(Channel.Email, print);
        Assert.Empty(await FaultsAsync(key));
        await database.ExecuteAsync($"update notify.suppressions set source = 'api', address = '7.b' where fingerprint = '{print}'");
        Assert.Equal("differs from its stream in source, address", Assert.Single(await FaultsAsync(key)).What);
    }

    [Theory]
    [InlineData("n/", 2)]
    [InlineData("n/", 3)]
    [InlineData("u/", 4)]
    [InlineData("u/", 1)]
    [InlineData("u/", 6)]
    public async Task Deleted_event_is_reported_with_its_version(string prefix, int version)
    {
        string key;
        if (prefix == "n/")
        {
            var n = builder.New("gap");
            await builder.AcceptAsync(n, n.Plan(), new NotificationDelivered(n.Push, "app", Some.Noon));
            key = n.Key;
        }
        else
            key = await NewAsync(prefix);

        Assert.DoesNotContain(await FaultsAsync(key), f => f.Kind == VerificationFaultKind.VersionGap);
        await database.ExecuteAsync($"delete from events.mt_events where stream_id = '{key}' and version = {version}");

        var events = prefix == "n/" ? 3 : 6;
        var fault = Assert.Single(await FaultsAsync(key), f => f.Kind == VerificationFaultKind.VersionGap);
        Assert.Equal($"has version {events} and {events - 1} events; missing: {version}", fault.What);
        Assert.Contains("To do: find out who deleted events", fault.ToString(), StringComparison.Ordinal);
        Assert.Equal(1, await RebuildAsync(key)); // nothing is written from a stream that lacks events
        await database.ExecuteAsync($"delete from events.mt_streams where id = '{key}'");
    }

    [Fact]
    public async Task Client_without_its_first_event_is_reported_and_its_neighbours_are_checked()
    {
        var (client, neighbour) = (await NewAsync("c/"), await NewAsync("c/"));
        await database.ExecuteAsync($"delete from events.mt_events where stream_id = '{client}' and version = 1");
        await database.ExecuteAsync(
            $"update events.mt_doc_client set data = jsonb_set(data, array['mode'], '\"live\"') where id = '{neighbour}'"
        );

        Assert.Equal(
            [VerificationFaultKind.VersionGap, VerificationFaultKind.SnapshotDiffers],
            (await FaultsAsync(client)).Select(f => f.Kind).Order()
        );
        Assert.Equal(VerificationFaultKind.SnapshotDiffers, Assert.Single(await FaultsAsync(neighbour)).Kind);
        Assert.Equal(1, await RebuildAsync(client));
    }

    private async Task<string> NewAsync(string prefix)
    {
        var key = $"{prefix}x-{Guid.NewGuid():N}";
        await database.AppendAsync(key, Kinds[prefix].Events);
        return key;
    }

    private async Task<int> RebuildAsync(params string[] keys)
    {
        await using var output = new StringWriter();
        return await new SnapshotRebuild(database.Store, output).RunAsync(keys, Cancellation);
    }

    private async Task<List<VerificationFault>> FaultsAsync(string stream) =>
        [.. (await builder.Verifier().VerifyAsync(new VerificationScope(), Cancellation)).Faults.Where(f => f.Stream == stream)];
}
