namespace Notify.Tests.Sandbox;

using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Notify.Dispatch.Providers.Sms.Vonage;
using Notify.Tests.Support;

/// <summary>The sandbox's Vonage: the SMS API, its reports, and receipts that our own check and Vonage's own example confirm.</summary>
[Collection(PlayedSandboxCollection.Name)]
public sealed class VonagePlayed(PlayedSandbox sandbox)
{
    [Fact]
    public async Task A_long_text_is_several_parts_each_with_an_ID_and_can_be_found_again()
    {
        var text = Guid.NewGuid().ToString("N").PadRight(200, 'x');
        var answer = await sandbox.PostFormAsync("/sms/json", Form(text, ("client-ref", "r1")));

        var parts = answer.GetProperty("messages").EnumerateArray().ToList();
        Assert.Equal(
            ("2", 2),
            (answer.GetProperty("message-count").GetString(), parts.Select(p => p.GetProperty("message-id").GetString()).Distinct().Count())
        );
        Assert.All(
            parts,
            p =>
                Assert.Equal(
                    ("0", "821012345678", "r1"),
                    (p.GetProperty("status").GetString(), p.GetProperty("to").GetString(), p.GetProperty("client-ref").GetString())
                )
        );
        var entry = Assert.Single(await sandbox.Client.LedgerAsync(text));
        Assert.Equal(("vonage", "821012345678", text, "accepted"), (entry.Provider, entry.To, entry.Text, entry.Outcome));
        Assert.DoesNotContain(sandbox.Account("vonageApiSecret"), entry.Json.ToJsonString(), StringComparison.Ordinal);

        var id = parts[0].GetProperty("message-id").GetString()!;
        var now = TimeProvider.System.GetUtcNow();
        var range = $"&date_start={now.AddMinutes(-5):yyyy-MM-ddTHH:mm:ssZ}&date_end={now.AddMinutes(5):yyyy-MM-ddTHH:mm:ssZ}";
        var found = await RecordsAsync($"{range}&to=821012345678&include_message=true");
        Assert.Equal(2, found.GetProperty("records").EnumerateArray().Count(r => r.GetProperty("message_body").GetString() == text));
        Assert.Equal("r1", (await RecordsAsync($"&id={id}")).GetProperty("records")[0].GetProperty("client_ref").GetString());
        await RecordsAsync($"&id={id}", 401, "wrong");
        await RecordsAsync("", 422);
        await RecordsAsync($"&id={id}{range}", 422);
    }

    [Theory]
    [InlineData("api_key", null, "2")]
    [InlineData("api_secret", null, "2")]
    [InlineData("api_secret", "wrong", "4")]
    [InlineData("sig", "0123456789abcdef", "32")]
    [InlineData("to", null, "2")]
    [InlineData("to", "+821012345678", "3")]
    [InlineData("to", "123456", "3")]
    [InlineData("from", null, "2")]
    [InlineData("from", "447700900000", "15")]
    [InlineData("from", "TwelveLetters", "15")]
    [InlineData("text", null, "2")]
    [InlineData("text", "한국어", "3")]
    [InlineData("type", "wappush", "3")]
    [InlineData("ttl", "1", "3")]
    [InlineData("callback", "ftp://x", "23")]
    [InlineData("status-report-req", "maybe", "3")]
    [InlineData("to", "15005552001", "6")]
    public async Task A_fault_is_told_by_its_status_with_HTTP_200(string name, string? value, string status)
    {
        var form = Form("x").Where(f => f.Key != name).ToList();
        if (value is not null)
            form.Add(new(name, value));

        var answer = await sandbox.PostFormAsync("/sms/json", form);

        var part = Assert.Single(answer.GetProperty("messages").EnumerateArray());
        Assert.Equal(status, part.GetProperty("status").GetString());
        Assert.NotEmpty(part.GetProperty("error-text").GetString()!);
    }

    [Fact]
    public async Task JSON_and_signed_requests_are_taken_too()
    {
        var mark = Guid.NewGuid().ToString("N");
        var json = await sandbox.PostJsonAsync("/sms/json", Form(mark).ToDictionary(f => f.Key, f => f.Value));
        var signed = Form(mark)
            .Where(f => f.Key != "api_secret")
            .Append(new("timestamp", $"{TimeProvider.System.GetUtcNow().ToUnixTimeSeconds()}"))
            .ToList();
        signed.Add(
            new("sig", VonageSignature.Sign(sandbox.Account("vonageSignatureSecret"), sandbox.Account("vonageSignatureMethod"), signed))
        );

        var taken = await sandbox.PostFormAsync("/sms/json", signed);
        var forged = await sandbox.PostFormAsync(
            "/sms/json",
            signed.Select(f => f.Key == "text" ? new KeyValuePair<string, string>("text", "other") : f)
        );

        Assert.Equal(
            ["0", "0", "14"],
            new[] { json, taken, forged }.Select(a => a.GetProperty("messages")[0].GetProperty("status").GetString())
        );
        Assert.DoesNotContain(
            await sandbox.Client.LedgerAsync(mark),
            e => e.Json.ToJsonString().Contains(sandbox.Account("vonageApiSecret"), StringComparison.Ordinal)
        );
    }

    [Theory]
    [InlineData("delivered", "buffered delivered")]
    [InlineData("shuffled", "delivered buffered")]
    [InlineData("repeated", "buffered buffered delivered delivered")]
    public async Task Receipts_follow_as_the_knob_says_and_are_signed(string knob, string wanted)
    {
        await sandbox.Client.KnobsAsync("vonage", new { receipts = knob });
        var id = (await SendAsync("821012345678")).GetProperty("message-id").GetString()!;
        var receipts = await ReceiptsAsync(id, wanted.Split(' ').Length);

        Assert.Equal(wanted, string.Join(' ', receipts.Select(r => r["status"])));
        Assert.All(
            receipts,
            r =>
            {
                Assert.True(
                    VonageSignature.IsValid(
                        sandbox.Account("vonageSignatureSecret"),
                        sandbox.Account("vonageSignatureMethod"),
                        [.. r],
                        TimeProvider.System.GetUtcNow()
                    )
                );
                Assert.Equal(("821012345678", "ref-1", "0"), (r["msisdn"], r["client-ref"], r["err-code"]));
            }
        );
    }

    [Theory]
    [InlineData("failed", "821012345678")]
    [InlineData("none", "15005553001")]
    public async Task A_failure_is_told_with_a_code(string knob, string to)
    {
        await sandbox.Client.KnobsAsync("vonage", new { receipts = knob });
        var id = (await SendAsync(to)).GetProperty("message-id").GetString()!;
        var last = (await ReceiptsAsync(id, knob == "none" || id[^1] >= '8' ? 2 : 1))[^1];
        Assert.Contains(last["status"], (string[])(knob == "none" ? ["failed"] : ["rejected", "expired"]));
        Assert.NotEqual("0", last["err-code"]);
    }

    [Fact]
    public async Task Without_the_knob_nothing_follows_but_for_a_magic_number()
    {
        await sandbox.Client.KnobsAsync("vonage", new { });
        var silent = (await SendAsync("821012345678")).GetProperty("message-id").GetString()!;
        var delivered = (await SendAsync("15005551001")).GetProperty("message-id").GetString()!;
        Assert.Equal("delivered", (await ReceiptsAsync(delivered, 2))[^1]["status"]);
        Assert.Empty(sandbox.Received(silent));
    }

    [Fact]
    public async Task The_request_s_own_callback_comes_before_the_account_s_and_an_error_is_repeated()
    {
        await sandbox.Client.KnobsAsync("vonage", new { });
        sandbox.Answers.Enqueue(503);
        var answer = await sandbox.PostFormAsync(
            "/sms/json",
            Form("x", ("callback", $"{sandbox.WebhookBase}/own")).Select(f => f.Key == "to" ? new("to", "15005551002") : f)
        );
        var id = answer.GetProperty("messages")[0].GetProperty("message-id").GetString()!;
        await ReceiptsAsync(id, 2);
        Assert.All(sandbox.Received(id), r => Assert.EndsWith("/own", r.Url, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Slow_answers_late_and_unknown_never()
    {
        await sandbox.Client.KnobsAsync("vonage", new { });
        var mark = Guid.NewGuid().ToString("N");
        var began = TimeProvider.System.GetTimestamp();
        await sandbox.PostFormAsync("/sms/json", Form(mark).Select(f => f.Key == "to" ? new("to", "15005554001") : f));
        Assert.InRange(TimeProvider.System.GetElapsedTime(began).TotalSeconds, 2.9, 30);
        await Assert.ThrowsAsync<HttpRequestException>(() =>
            sandbox.PostFormAsync("/sms/json", Form(mark).Select(f => f.Key == "to" ? new("to", "15005555001") : f))
        );
        Assert.Equal((2, 2), await sandbox.Client.CountAsync(mark));
    }

    [Theory]
    [InlineData(429, "1")]
    [InlineData(500, "5")]
    public async Task Faults_are_in_the_parts_as_everything_else(int status, string code)
    {
        await sandbox.Client.KnobsAsync("vonage", new { errorRate = 1, errorStatus = status });
        var answer = await sandbox.PostFormAsync("/sms/json", Form("x"));
        await sandbox.Client.KnobsAsync("vonage", new { });
        Assert.Equal(code, answer.GetProperty("messages")[0].GetProperty("status").GetString());
    }

    [Theory]
    [InlineData("twilio", "X-Twilio-Signature")]
    [InlineData("vonage", null)]
    public async Task Somebody_who_writes_an_SMS_is_posted_to_the_webhook(string provider, string? header)
    {
        var text = $"STOP {Guid.NewGuid():N}";
        var answer = await sandbox.PostJsonAsync($"/inbound/{provider}", new { from = "+821012345678", text });
        Assert.Equal(
            (204, $"{sandbox.WebhookBase}/receipts/{provider}"),
            (answer.GetProperty("status").GetInt32(), answer.GetProperty("url").GetString())
        );
        var post = Assert.Single(sandbox.Received(answer.GetProperty("messageId").GetString()!));
        if (header is null)
        {
            var fields = JsonSerializer.Deserialize<Dictionary<string, string>>(post.Body)!;
            Assert.Equal(("821012345678", text, "STOP"), (fields["msisdn"], fields["text"], fields["keyword"]));
            Assert.True(
                VonageSignature.IsValid(sandbox.Account("vonageSignatureSecret"), "sha256", [.. fields], TimeProvider.System.GetUtcNow())
            );
        }
        else
            Assert.True(
                Notify.Dispatch.Providers.Sms.Twilio.TwilioSignature.IsValid(
                    sandbox.Account("twilioAuthToken"),
                    new Uri(post.Url),
                    isForm: true,
                    post.Body,
                    post.Header(header)
                )
            );
    }

    [Theory]
    [InlineData("md5hash", "af87731609e36b9a139a759b7050e38d")]
    [InlineData("sha1", "7F78F34B6EEF3D1ED78AC0CA4E32C578408ED879")]
    [InlineData("sha256", "7A347A2DE163A4CC2F63E764D1F1F72C4A048C7687EE18EB31620390A9035CB0")]
    public void The_sandbox_signs_as_Vonage_s_own_library(string method, string signature) =>
        Assert.Equal(
            signature,
            Notify.Sandbox.Vonage.VonageSignature.Of(
                [new("timestamp", "1760000000"), new("messageId", "0A&1=2"), new("msisdn", "821012345678"), new("status", "delivered")],
                "topsecret",
                method
            )
        );

    private List<KeyValuePair<string, string>> Form(string text, params (string Name, string Value)[] more) =>
        [
            new("api_key", sandbox.Account("vonageApiKey")),
            new("api_secret", sandbox.Account("vonageApiSecret")),
            new("from", "Acme"),
            new("to", "821012345678"),
            new("text", text),
            .. more.Select(m => new KeyValuePair<string, string>(m.Name, m.Value)),
        ];

    private async Task<JsonElement> SendAsync(string to) =>
        (
            await sandbox.PostFormAsync("/sms/json", Form("x", ("client-ref", "ref-1")).Select(f => f.Key == "to" ? new("to", to) : f))
        ).GetProperty("messages")[0];

    private async Task<List<Dictionary<string, string>>> ReceiptsAsync(string id, int count)
    {
        var posts = await Eventually.Becomes(
            () => Task.FromResult(sandbox.Received(id)),
            r => r.Count >= count,
            $"{count} receipts for {id}"
        );
        Assert.Equal(count, posts.Count);
        return [.. posts.Select(p => JsonSerializer.Deserialize<Dictionary<string, string>>(Encoding.UTF8.GetString(p.Body))!)];
    }

    private async Task<JsonElement> RecordsAsync(string query, int status = 200, string? secret = null)
    {
        var key = sandbox.Account("vonageApiKey");
        using var request = new HttpRequestMessage(
            HttpMethod.Get,
            new Uri(sandbox.Url, $"/v2/reports/records?account_id={key}&product=SMS&direction=outbound{query}")
        );
        var credentials = $"{key}:{secret ?? sandbox.Account("vonageApiSecret")}";
        request.Headers.Authorization = new AuthenticationHeaderValue("Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes(credentials)));
        using var response = await sandbox.Http.SendAsync(request, TestContext.Current.CancellationToken);
        Assert.Equal(status, (int)response.StatusCode);
        return await response.Content.ReadFromJsonAsync<JsonElement>(TestContext.Current.CancellationToken);
    }
}
