namespace Notify.Tests.Sandbox;

using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;
using Notify.Tests.Support;
using SendGrid;
using SendGrid.Helpers.Mail;

/// <summary>The sandbox's SendGrid takes what SendGrid takes, and refuses what SendGrid refuses, in its words.</summary>
public sealed class SendGridStrictness : SystemTest
{
    private const string Good =
        """{"personalizations":[{"to":[{"email":"a@mail.example"}]}],"from":{"email":"x@sandbox.example","name":"X"},"subject":"s","content":[{"type":"text/plain","value":"v"}]}""";

    [Fact]
    public async Task A_good_mail_is_accepted_with_an_ID_and_an_empty_body()
    {
        var mark = Guid.NewGuid().ToString("N");
        using var response = await PostAsync(Good.Replace("\"v\"", $"\"{mark}\""));

        Assert.Equal(202, (int)response.StatusCode);
        Assert.Empty(await response.Content.ReadAsByteArrayAsync(TestContext.Current.CancellationToken));
        var entry = Assert.Single(await Sandbox.LedgerAsync(mark, "sendgrid"));
        Assert.Equal(
            (Assert.Single(response.Headers.GetValues("X-Message-Id")), "a@mail.example", $"s\n{mark}"),
            (entry.MessageId!, entry.To, entry.Text)
        );
        Assert.DoesNotContain("SG.", entry.Json.ToJsonString(), StringComparison.Ordinal); // the key is not kept
    }

    [Fact]
    public async Task SendGrid_s_own_client_is_understood()
    {
        var mark = Guid.NewGuid().ToString("N");
        var key = (await TestRun.Accounts).GetProperty("sendGridApiKey").GetString();
        var client = new SendGridClient(new SendGridClientOptions { ApiKey = key, Host = Installation.SandboxUrl.ToString().TrimEnd('/') });
        var mail = MailHelper.CreateSingleEmailToMultipleRecipients(
            new EmailAddress("x@sandbox.example", "X"),
            [new EmailAddress("a@mail.example", "A"), new EmailAddress("b@mail.example")],
            "Hello",
            mark,
            $"<p>{mark}</p>"
        );

        var response = await client.SendEmailAsync(mail, TestContext.Current.CancellationToken);

        Assert.Equal(202, (int)response.StatusCode);
        var entries = await Sandbox.LedgerAsync(mark); // one for each personalization
        Assert.Equal(["a@mail.example", "b@mail.example"], entries.Select(e => e.To));
        Assert.All(
            entries,
            e =>
                Assert.Equal(
                    ($"Hello\n{mark}\n<p>{mark}</p>", Assert.Single(response.Headers.GetValues("X-Message-Id"))),
                    (e.Text!, e.MessageId!)
                )
        );
    }

    [Theory]
    [InlineData("/personalizations", "[]", "personalizations")]
    [InlineData("/personalizations", null, "personalizations")]
    [InlineData("/personalizations/0/to", "[]", "personalizations.0.to")]
    [InlineData("/personalizations/0/to", null, "personalizations.0.to")]
    [InlineData("/personalizations/0/to/0/email", "\"nobody\"", "personalizations.0.to.0.email")]
    [InlineData("/personalizations/0/to/0/email", "\"a..b@mail.example\"", "personalizations.0.to.0.email")]
    [InlineData("/personalizations/0/to/0/email", "\"민수@mail.example\"", "personalizations.0.to.0.email")]
    [InlineData("/personalizations/0/to/0/email", "\"kim@예시.한국\"", "personalizations.0.to.0.email")]
    [InlineData("/personalizations/0/to/0/email", "\"a@mail.example\\r\\nBcc: b@mail.example\"", "personalizations.0.to.0.email")]
    [InlineData("/personalizations/0/to/0/name", "\"Kim, Minsu\"", "personalizations.0.to.0.name")]
    [InlineData("/personalizations/0/to/0/name", "\"Kim; Minsu\"", "personalizations.0.to.0.name")]
    [InlineData("/personalizations/0/cc", """[{"email":"A@mail.example"}]""", "personalizations.0")]
    [InlineData("/personalizations/0/custom_args", """{"a":1}""", "personalizations.0.custom_args.a")]
    [InlineData("/personalizations/0/custom_args", "\"a\"", "personalizations.0.custom_args")]
    [InlineData("/personalizations/0/headers", """{"Subject":"x"}""", "personalizations.0.headers")]
    [InlineData("/personalizations/0/headers", """{"X-A":"x\r\nBcc: b@mail.example"}""", "personalizations.0.headers")]
    [InlineData("/personalizations/0/html", "\"x\"", "personalizations.0.html")]
    [InlineData("/from", null, "from.email")]
    [InlineData("/from/email", "\"x\"", "from.email")]
    [InlineData("/reply_to", """{"email":"x"}""", "reply_to.email")]
    [InlineData("/subject", "\"\"", "subject")]
    [InlineData("/subject", null, "subject")]
    [InlineData("/subject", "\"a\\nb\"", "subject")]
    [InlineData("/content", "[]", "content")]
    [InlineData("/content", null, "content")]
    [InlineData("/content/0/value", "\"\"", "content.0.value")]
    [InlineData("/content/0/type", "\"text/plain; charset=utf-8\"", "content.0.type")]
    [InlineData("/content", """[{"type":"text/html","value":"v"},{"type":"text/plain","value":"v"}]""", "content")]
    [InlineData("/content", """[{"type":"text/html","value":"v"},{"type":"text/html","value":"v"}]""", "content")]
    [InlineData("/categories", """["1","2","3","4","5","6","7","8","9","10","11"]""", "categories")]
    [InlineData("/categories", """["1","1"]""", "categories")]
    [InlineData("/send_at", "99999999999", "send_at")]
    [InlineData("/text", "\"x\"", "text")]
    public async Task A_fault_is_refused_and_its_field_named(string path, string? value, string field)
    {
        var mail = JsonNode.Parse(Good)!;
        var names = path.Split('/');
        var of = names[1..^1].Aggregate(mail, (node, name) => node is JsonArray ? node[int.Parse(name)]! : node[name]!);
        if (value is null)
            of.AsObject().Remove(names[^1]);
        else
            of[names[^1]] = JsonNode.Parse(value);

        using var response = await PostAsync(mail.ToJsonString());

        Assert.Equal(400, (int)response.StatusCode);
        var error = Assert
            .Single(JsonNode.Parse(await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken))!["errors"]!.AsArray())!
            .AsObject();
        Assert.Equal(field, error["field"]!.ToString());
        Assert.Equal(["field", "help", "message"], error.Select(e => e.Key).Order());
    }

    [Theory]
    [InlineData(1000, 1, 9_900, 202)]
    [InlineData(1001, 1, 0, 400)]
    [InlineData(1, 1001, 0, 400)]
    [InlineData(1, 1, 10_000, 400)]
    public async Task A_mail_has_its_limits(int personalizations, int recipients, int arguments, int status)
    {
        var mail = JsonNode.Parse(Good)!;
        mail["personalizations"] = new JsonArray([
            .. Enumerable
                .Range(0, personalizations)
                .Select(p => new JsonObject
                {
                    ["to"] = new JsonArray([
                        .. Enumerable.Range(0, recipients).Select(r => new JsonObject { ["email"] = $"a{p}.{r}@mail.example" }),
                    ]),
                    ["subject"] = "own",
                    ["custom_args"] = new JsonObject { ["a"] = new string('x', p == 0 ? arguments : 0) },
                }),
        ]);
        mail.AsObject().Remove("subject"); // each has its own

        using var response = await PostAsync(mail.ToJsonString());

        Assert.Equal(status, (int)response.StatusCode);
    }

    [Fact]
    public async Task Unauthorized_or_malformed_request_is_rejected()
    {
        Assert.Equal(401, await StatusAsync(r => r.Headers.Authorization = null));
        Assert.Equal(401, await StatusAsync(r => r.Headers.Authorization = new AuthenticationHeaderValue("Bearer", "SG.other")));
        Assert.Equal(403, await StatusAsync(r => r.Content = Json(Good.Replace("x@sandbox.example", "x@elsewhere.example"))));
        Assert.Equal(404, await StatusAsync(r => r.RequestUri = new Uri(Installation.SandboxUrl, "/v3/mail/post")));
        Assert.Equal(405, await StatusAsync(r => (r.Method, r.Content) = (HttpMethod.Get, null)));
        Assert.Equal(415, await StatusAsync(r => r.Content!.Headers.ContentType = new MediaTypeHeaderValue("text/plain")));
        Assert.Equal(400, await StatusAsync(r => r.Content = Json("{")));
        Assert.Equal(400, await StatusAsync(r => r.Content = Json("[]")));
        Assert.Equal(400, await StatusAsync(r => r.Content = Json(Good.Replace("\"v\"", "\"\\ud800\""))));
        Assert.Equal(413, await StatusAsync(r => r.Content = Json(Good.Replace("\"v\"", $"\"{new string('v', 30 * 1024 * 1024)}\""))));
    }

    [Fact]
    public async Task A_thousand_personalizations_are_one_request_and_a_thousand_entries()
    {
        var mark = Guid.NewGuid().ToString("N");
        var mail = JsonNode.Parse(Good.Replace("\"v\"", $"\"{mark}\""))!;
        mail["personalizations"] = new JsonArray([
            .. Enumerable
                .Range(0, 1000)
                .Select(i => new JsonObject { ["to"] = new JsonArray(new JsonObject { ["email"] = $"a{i}@mail.example" }) }),
        ]);

        using var response = await PostAsync(mail.ToJsonString());
        mail["personalizations"]![500]!["to"]![0]!["email"] = "failed@mail.example";
        using var refused = await PostAsync(mail.ToJsonString());

        var entries = await Sandbox.LedgerAsync(mark);
        Assert.Equal((202, 400, 2000), ((int)response.StatusCode, (int)refused.StatusCode, entries.Count));
        Assert.Equal(Enumerable.Range(0, 1000).Select(i => $"a{i}@mail.example"), entries.Take(1000).Select(e => e.To));
        Assert.Equal(
            Assert.Single(response.Headers.GetValues("X-Message-Id")),
            Assert.Single(entries.Take(1000).Select(e => e.MessageId).Distinct())
        );
        // All or none.
        Assert.Equal("400 personalizations.500.to.0.email", Assert.Single(entries.Skip(1000).Select(e => e.Outcome).Distinct()));
        Assert.All(
            entries,
            e => Assert.Single(JsonNode.Parse(e.Json["request"]!["body"]!.GetValue<string>())!["personalizations"]!.AsArray())
        );
        Assert.Equal((2000, 1000), await Sandbox.CountAsync(mark));
    }

    private async Task<int> StatusAsync(Action<HttpRequestMessage> shape)
    {
        using var response = await PostAsync(Good, shape);
        return (int)response.StatusCode;
    }

    private async Task<HttpResponseMessage> PostAsync(string json, Action<HttpRequestMessage>? shape = null)
    {
        using var http = new HttpClient();
        using var request = new HttpRequestMessage(HttpMethod.Post, new Uri(Installation.SandboxUrl, "/v3/mail/send"))
        {
            Content = Json(json),
        };
        request.Headers.Authorization = new AuthenticationHeaderValue(
            "Bearer",
            (await TestRun.Accounts).GetProperty("sendGridApiKey").GetString()
        );
        shape?.Invoke(request);
        return await http.SendAsync(request, TestContext.Current.CancellationToken);
    }

    private static StringContent Json(string json) => new(json, Encoding.UTF8, "application/json");
}
