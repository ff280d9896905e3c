namespace Notify.Tests.Api;

using System.Text;
using System.Text.Json;
using Notify.Api.Contract;

public class CanonicalJsonTests
{
    [Theory]
    [InlineData("""{ "b": 1, "a": 2 }""", """{"a":2,"b":1}""")]
    [InlineData("""{ "a": { "d": 1, "c": [ { "f": 1, "e": 2 } ] } }""", """{"a":{"c":[{"e":2,"f":1}],"d":1}}""")]
    [InlineData("[ 3, 1, 2 ]", "[3,1,2]")]
    [InlineData("[ true, false, null, \"\" ]", "[true,false,null,\"\"]")]
    public void Names_are_in_order_lists_keep_theirs_and_white_space_goes(string json, string canonical) =>
        Assert.Equal(canonical, Of(json));

    [Theory]
    [InlineData("1", "1.0", "1.000", "1e0", "10e-1", "0.1e1")]
    [InlineData("100", "1e2", "1E+2", "100.00")]
    [InlineData("0", "-0", "0.0", "-0.0", "0e5")]
    [InlineData("0.5", "5e-1", "0.50", "0.5000")]
    [InlineData("-1.5", "-15e-1", "-1.50")]
    [InlineData("123456789012345678901234567", "123456789012345678901234567.0")]
    [InlineData("1e30", "1E30", "1.0e+30")]
    public void Numbers_count_by_value(params string[] spellings) => Assert.Single(spellings.Select(Of).Distinct());

    [Theory]
    [InlineData("\"a\"", "\"\\u0061\"")]
    [InlineData("\"/\"", "\"\\/\"", "\"\\u002f\"", "\"\\u002F\"")]
    [InlineData("\"한\"", "\"\\ud55c\"", "\"\\uD55C\"")]
    [InlineData("\"👋\"", "\"\\ud83d\\udc4b\"")]
    [InlineData("\"<&>\"", "\"\\u003c\\u0026\\u003e\"")]
    [InlineData("\"\\n\"", "\"\\u000a\"")]
    [InlineData("""{"a":1}""", """{"\u0061":1}""")]
    public void Strings_count_by_what_they_say(params string[] spellings) => Assert.Single(spellings.Select(Of).Distinct());

    [Theory]
    [InlineData("1", "\"1\"")]
    [InlineData("1", "1.1")]
    [InlineData("null", "\"null\"")]
    [InlineData("{}", "[]")]
    [InlineData("""{"a":null}""", "{}")]
    [InlineData("""{"a":1}""", """{"A":1}""")]
    [InlineData("\"a\"", "\"a \"")]
    [InlineData("[1,2]", "[2,1]")]
    [InlineData("9007199254740992", "9007199254740993")]
    [InlineData("\"é\"", "\"e\\u0301\"")]
    public void Different_values_have_different_canonical_forms(string one, string other) => Assert.NotEqual(Of(one), Of(other));

    [Fact]
    public void The_canonical_form_of_a_canonical_form_is_itself()
    {
        var once = Of("""{ "z": [1.50, "\u0041", {"b":1e3,"a":null}], "a": "한 👋 / <x>" }""");
        Assert.Equal(once, Of(once));
    }

    private static string Of(string json)
    {
        using var document = JsonDocument.Parse(json);
        return Encoding.UTF8.GetString(CanonicalJson.Of(document.RootElement).Span);
    }
}
