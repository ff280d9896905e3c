namespace Notify.Tests.Api;

using System.Net;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Notify.Api.Tracking;
using Notify.Delivery.Privacy;
using Notify.Delivery.Tracking;
using Notify.Tests.Support;

public sealed class UnsubscribeEndpointsTests
{
    private static readonly DeliveryTokens Tokens = new(
        MasterKeyRing.Read(
            new ConfigurationBuilder()
                .AddInMemoryCollection(
                    new Dictionary<string, string?>
                    {
                        ["Notify:MasterKeys:1"] = TestRun.Secrets["Notify__MasterKeys__1"],
                        ["Notify:Pepper"] = TestRun.Secrets["Notify__Pepper"],
                    }
                )
                .Build(),
            []
        )!
    );

    /// <summary>
    /// RFC 8058, section 3.2: the post is a form. One that cannot be read is the caller's fault: 400, and no word about the database.
    /// </summary>
    [Theory]
    [InlineData("multipart/form-data", "x")]
    [InlineData("multipart/form-data; boundary=b", "garbage")]
    [InlineData("multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Cl")]
    public async Task A_form_that_cannot_be_read_is_refused_and_changes_nothing(string type, string body)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Logging.ClearProviders();
        // Would throw if it were asked.
        builder.Services.AddSingleton(Tokens).AddSingleton(new Unsubscribing(null!, null!, TimeProvider.System));
        await using var app = builder.Build();
        UnsubscribeEndpoints.Map(app);
        await app.StartAsync(TestContext.Current.CancellationToken);

        using var http = new HttpClient();
        using var content = new ByteArrayContent(Encoding.UTF8.GetBytes(body));
        content.Headers.TryAddWithoutValidation("Content-Type", type);
        using var answer = await http.PostAsync(
            new Uri($"{app.Urls.Single()}/u/{Tokens.Make(DeliveryTokens.Unsubscribe, Guid.Empty)}"),
            content,
            TestContext.Current.CancellationToken
        );

        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
        Assert.Contains(
            "cannot be read",
            await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken),
            StringComparison.Ordinal
        );
    }
}
