namespace Notify.Tests;

public class Smoke
{
    [Fact]
    public void Placeholder() => Assert.Equal(2, 1 + 1);
}
