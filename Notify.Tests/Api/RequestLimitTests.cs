namespace Notify.Tests.Api;

using Microsoft.AspNetCore.Http;
using Notify.Api.Access;
using Notify.Domain.Clients;

/// <summary>A caller's flood is refused, and takes no place of another caller's.</summary>
public class RequestLimitTests
{
    [Fact]
    public void Client_past_its_limit_is_refused_and_others_and_its_users_apps_are_not()
    {
        using var limit = new RequestLimit(
            new RequestLimitOptions
            {
                PerSecond = 1,
                Burst = 3,
                PerUserPerSecond = 1,
                PerUserBurst = 2,
            }
        );

        Assert.All(Enumerable.Range(0, 3), _ => Assert.Null(limit.Take("c_1", null)));
        Assert.Equal(StatusCodes.Status429TooManyRequests, StatusOf(limit.Take("c_1", null)));
        Assert.Null(limit.Take("c_2", null));
        Assert.All(Enumerable.Range(0, 2), _ => Assert.Null(limit.Take("c_1", "u-1")));
        Assert.Equal(StatusCodes.Status429TooManyRequests, StatusOf(limit.Take("c_1", "u-1")));
        Assert.Null(limit.Take("c_1", "u-2"));
    }

    [Fact]
    public void No_limit_is_none()
    {
        using var limit = new RequestLimit(new RequestLimitOptions { PerSecond = 0, Burst = 1 });
        Assert.All(Enumerable.Range(0, 100), _ => Assert.Null(limit.Take("c_1", null)));
    }

    // Requests of a user's app count against the user's own limit before they count against the client's.
    [Fact]
    public void App_has_its_users_limit_also_where_clients_have_another_one()
    {
        using var limit = new RequestLimit(
            new RequestLimitOptions
            {
                PerSecond = 1,
                Burst = 1,
                PerUserPerSecond = 1,
                PerUserBurst = 2,
            }
        );

        Assert.All(Enumerable.Range(0, 5), _ => Assert.Null(limit.Take(Accepting(null))));
        Assert.All(Enumerable.Range(0, 2), _ => Assert.Null(limit.Take(Accepting("u-1"))));
        Assert.Equal(StatusCodes.Status429TooManyRequests, StatusOf(limit.Take(Accepting("u-1"))));
        Assert.Null(limit.Take(Accepting("u-2")));
    }

    private static DefaultHttpContext Accepting(string? user)
    {
        var http = new DefaultHttpContext();
        http.SetEndpoint(new Endpoint(null, new EndpointMetadataCollection(new LimitedNote()), "accepts"));
        http.Items["notify.caller"] = new Client("c/c_1", "c_1", "shop", ClientMode.Live, [], []);
        if (user is not null)
            http.Items["notify.token"] = new ClientToken("c_1", ClientMode.Live, user, ["send:otp"]);
        return http;
    }

    private static int? StatusOf(IResult? result) => Assert.IsAssignableFrom<IStatusCodeHttpResult>(result).StatusCode;
}
