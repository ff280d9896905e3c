using Microsoft.AspNetCore.Http;
using Notify.Api.Access;

namespace Notify.Tests.Api;

/// <summary>A caller's flood is refused, and takes no place of another caller's.</summary>
public class RequestLimitTests
{
    [Fact]
    public void Client_past_its_limit_is_refused_and_others_and_its_users_apps_are_not()
    {
        using var limit = new RequestLimit(new RequestLimitOptions { PerSecond = 1, Burst = 3, PerUserPerSecond = 1, PerUserBurst = 2 });

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

    private static int? StatusOf(IResult? result) => Assert.IsAssignableFrom<IStatusCodeHttpResult>(result).StatusCode;
}
