namespace Notify.Tests.Dispatch;

using System.Text;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Providers.Sms.Vonage;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;

/// <summary>A message is found in Vonage's reports by the delivery's reference, else by its text and time.</summary>
/// <remarks>Vonage: Reports API 2.2 (OpenAPI), <c>GET /v2/reports/records</c>; «How to handle pagination».</remarks>
public class VonageReportsTests
{
    private static readonly Guid Delivery = Guid.Parse("0199c0de-0000-7000-8000-000000000001");
    private static readonly DateTimeOffset Attempt = new(2026, 5, 4, 12, 0, 0, TimeSpan.Zero);

    private static readonly OutboundMessage Message = new(
        Delivery,
        "+821012345678",
        new NotificationContent(Body: "Hello"),
        Priority.Normal,
        null
    );

    [Theory]
    [InlineData("0199c0de000070008000000000000001", true)]
    [InlineData("0199c0de-0000-7000-8000-000000000001", true)]
    [InlineData("0199c0de000070008000000000000002", false)]
    [InlineData("another", false)]
    public void Reference_decides_whatever_text_and_time_are(string reference, bool found) =>
        Assert.Equal(
            found ? "A" : "",
            Found($$"""{"message_id":"A","client_ref":"{{reference}}","message_body":"Hello","date_received":"2026-05-04T12:00:01+0000"}""")
        );

    [Theory]
    [InlineData("Hello", "2026-05-04T10:55:00+0000", true)]
    [InlineData("Hello", "2026-05-04T10:54:59+0000", false)]
    [InlineData("Hello there", "2026-05-04T12:00:00+0000", false)]
    [InlineData("Hello", "2026-05-04T13:05:10+0000", true)]
    [InlineData("Hello", "2026-05-04T13:05:11+0000", false)]
    [InlineData("hello", "2026-05-04T12:00:00+0000", false)]
    [InlineData("Hello", "soon", false)]
    public void Without_reference_text_and_time_decide(string text, string at, bool found) =>
        Assert.Equal(
            found ? "A" : "",
            Found($$"""{"message_id":"A","client_ref":"","message_body":"{{text}}","date_received":"{{at}}"}""")
        );

    [Fact]
    public void All_parts_are_found()
    {
        static string Part(string id) => $$"""{"message_id":"{{id}}","client_ref":"{{Delivery:N}}"}""";
        Assert.Equal("A B", Found($"{Part("A")},{Part("B")}"));
    }

    [Theory]
    [InlineData("""{"records":[]}""", null)]
    [InlineData("""{"records":[],"_links":{"self":{"href":"https://api.nexmo.com/v2/reports/records?x=1"}}}""", null)]
    [InlineData(
        """{"records":[],"_links":{"next":{"href":"https://api.nexmo.com/v2/reports/records?cursor=c&iv=i"}}}""",
        "/v2/reports/records?cursor=c&iv=i"
    )]
    public void Next_page_is_followed_by_its_path_alone(string body, string? next) => Assert.Equal(next, Read(body)!.Value.Next);

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("<html>")]
    [InlineData("""{"items_count":0}""")]
    [InlineData("""{"records":{}}""")]
    [InlineData("""{"records":[1]}""")]
    [InlineData("""{"records":[{"client_ref":7}]}""")]
    public void Malformed_page_is_no_answer(string body) => Assert.Null(Read(body));

    private static string Found(string records) => string.Join(' ', Read($$"""{"records":[{{records}}]}""")!.Value.MessageIds);

    private static (IReadOnlyList<string> MessageIds, string? Next)? Read(string body) =>
        VonageReports.Read(
            Encoding.UTF8.GetBytes(body),
            Message,
            Attempt - VonageReports.ClockSkew,
            Attempt.AddSeconds(10) + VonageReports.ClockSkew
        );
}
