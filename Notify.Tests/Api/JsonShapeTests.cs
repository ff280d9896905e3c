namespace Notify.Tests.Api;

using System.Text.Json;
using Notify.Api.Contract;
using Notify.Domain.Channels;

public class JsonShapeTests
{
    [Theory]
    [InlineData("{}")]
    [InlineData(
        """{ "text": "x", "number": 1, "amount": 1767225600000.5, "flag": true, "time": "2026-12-01T09:00:00Z", "priority": "bulk", "channels": ["push", "sms"], "inner": { "text": "y" }, "free": { "any": [1, null, "x"] }, "named": { "a": { "text": "z" } } }"""
    )]
    [InlineData(
        """{ "text": null, "number": null, "amount": null, "flag": null, "time": null, "priority": null, "channels": null, "inner": null, "free": null, "named": null }"""
    )]
    public void Valid_body_has_no_fault(string json) => Assert.Empty(Check(json));

    [Theory]
    [InlineData("""{ "text": 1 }""", "text", "must be a string")]
    [InlineData("""{ "text": {} }""", "text", "must be a string")]
    [InlineData("""{ "number": "1" }""", "number", "must be a whole number")]
    [InlineData("""{ "number": 1.5 }""", "number", "must be a whole number")]
    [InlineData("""{ "number": 99999999999 }""", "number", "must be a whole number")]
    [InlineData("""{ "amount": "1" }""", "amount", "must be a number")]
    [InlineData("""{ "amount": {} }""", "amount", "must be a number")]
    [InlineData("""{ "amount": 1e999 }""", "amount", "must be a number")]
    [InlineData("""{ "flag": "true" }""", "flag", "must be true or false")]
    [InlineData("""{ "sure": null }""", "sure", "must not be null")]
    [InlineData("""{ "time": "yesterday" }""", "time", "must be a time in ISO 8601")]
    [InlineData("""{ "time": 1 }""", "time", "must be a time in ISO 8601")]
    [InlineData("""{ "time": "2026-13-01T00:00:00Z" }""", "time", "must be a time in ISO 8601")]
    [InlineData("""{ "priority": "urgent" }""", "priority", "must be one of critical, normal, bulk")]
    [InlineData("""{ "priority": "Bulk" }""", "priority", "must be one of")]
    [InlineData("""{ "priority": 1 }""", "priority", "must be one of")]
    [InlineData("""{ "channels": "push" }""", "channels", "must be a list")]
    [InlineData("""{ "channels": ["push", "fax"] }""", "channels[1]", "must be one of")]
    [InlineData("""{ "channels": [null] }""", "channels[0]", "must not be null")]
    [InlineData("""{ "inner": [] }""", "inner", "must be an object")]
    [InlineData("""{ "inner": { "text": false } }""", "inner.text", "must be a string")]
    [InlineData("""{ "inner": { "inner": { "inner": { "number": "x" } } } }""", "inner.inner.inner.number", "must be a whole number")]
    [InlineData("""{ "named": { "a": { "text": 1 } } }""", "named.a.text", "must be a string")]
    [InlineData("""{ "named": [] }""", "named", "must be an object")]
    [InlineData("""{ "unknown": 1 }""", "unknown", "is not known here; known are")]
    [InlineData("""{ "Text": "x" }""", "Text", "is not known here")]
    [InlineData("""{ "inner": { "unknown": 1 } }""", "inner.unknown", "is not known here")]
    [InlineData("[]", "$", "must be an object")]
    [InlineData("7", "$", "must be an object")]
    [InlineData("null", "$", "must be an object")]
    [InlineData("\"x\"", "$", "must be an object")]
    public void A_fault_is_named_with_its_place(string json, string field, string fault)
    {
        var (at, said) = Assert.Single(Check(json));
        Assert.Equal(field, at);
        Assert.StartsWith(fault, said, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_fault_is_named_at_once() =>
        Assert.Equal(
            ["text", "number", "priority", "inner.flag", "nonsense"],
            Check("""{ "text": 1, "number": "x", "priority": "x", "inner": { "flag": 0 }, "nonsense": null }""").Select(f => f.Field)
        );

    [Theory]
    [InlineData("""{ "text": "a\u0000b" }""", "text", "U+0000")]
    [InlineData("""{ "text": "\ud800" }""", "text", "surrogate")]
    [InlineData("""{ "text": "\udc00x" }""", "text", "surrogate")]
    [InlineData("""{ "free": { "a": ["\ud800"] } }""", "free.a", "surrogate")]
    [InlineData("""{ "free": "\u0000" }""", "free", "U+0000")]
    public void Text_that_cannot_be_stored_is_reported(string json, string field, string fault)
    {
        var found = Assert.Single(Check(json));
        Assert.Equal(field, found.Field);
        Assert.Contains(fault, found.Fault, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{ "priority": "\ud800" }""")]
    [InlineData("""{ "time": "\ud800" }""")]
    [InlineData("""{ "channels": ["\ud800"] }""")]
    [InlineData("""{ "\ud800": 1 }""")]
    [InlineData("""{ "inner": { "\udc00": 1 } }""")]
    [InlineData("""{ "free": { "\ud800": 1 } }""")]
    [InlineData("""{ "named": { "\ud800": {} } }""")]
    public void Half_a_surrogate_pair_is_a_fault_wherever_it_stands(string json) => Assert.NotEmpty(Check(json));

    // The check treats a type that it does not know as an object, and would reject every value of it.
    [Fact]
    public void Every_kind_of_value_in_a_request_is_known_to_the_check()
    {
        var requests = typeof(JsonShape)
            .Assembly.GetTypes()
            .Where(t =>
                t is { IsClass: true, IsAbstract: false }
                && t.BaseType is { IsGenericType: true } b
                && b.GetGenericTypeDefinition() == typeof(FluentValidation.AbstractValidator<>)
            )
            .Select(t => t.BaseType!.GetGenericArguments()[0])
            .Append(typeof(Notify.Api.Recipients.PutPreferences));
        var (open, seen) = (new Stack<Type>(requests), new HashSet<Type>());
        while (open.TryPop(out var type))
        {
            type = Nullable.GetUnderlyingType(type) ?? type;
            if (!seen.Add(type) || type == typeof(string) || type == typeof(JsonElement))
                continue;
            if (type.IsValueType)
                Assert.Empty(
                    JsonShape.Check(
                        JsonSerializer.SerializeToElement(Activator.CreateInstance(type), Notify.Infrastructure.Json.NotifyJson.Options),
                        type
                    )
                );
            else if (type.IsGenericType)
                Array.ForEach(type.GetGenericArguments(), open.Push);
            else
            {
                Assert.StartsWith("Notify.", type.Namespace, StringComparison.Ordinal);
                foreach (var property in type.GetProperties())
                    open.Push(property.PropertyType);
            }
        }

        Assert.Superset(new HashSet<Type> { typeof(double), typeof(DateTimeOffset), typeof(int), typeof(bool), typeof(Channel) }, seen);
    }

    private static List<(string Field, string Fault)> Check(string json)
    {
        using var document = JsonDocument.Parse(json);
        return [.. JsonShape.Check(document.RootElement, typeof(Shape))];
    }

    private sealed record Shape
    {
        public string? Text { get; init; }

        public int? Number { get; init; }

        public double? Amount { get; init; }

        public bool? Flag { get; init; }

        public bool Sure { get; init; }

        public DateTimeOffset? Time { get; init; }

        public Priority? Priority { get; init; }

        public IReadOnlyList<Channel>? Channels { get; init; }

        public Shape? Inner { get; init; }

        public JsonElement? Free { get; init; }

        public IReadOnlyDictionary<string, Shape>? Named { get; init; }
    }
}
