namespace Notify.Api.Reference;

using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.OpenApi;

/// <summary>Makes schemas say what Notify does: a field without a value is absent, and what is always there is required.</summary>
public sealed class SchemaNotes : IOpenApiSchemaTransformer
{
    /// <inheritdoc />
    public Task TransformAsync(OpenApiSchema schema, OpenApiSchemaTransformerContext context, CancellationToken cancellationToken)
    {
        var type = context.JsonTypeInfo;
        // How Notify reads times says nothing of their type, so that it has to be said here.
        if ((Nullable.GetUnderlyingType(type.Type) ?? type.Type) == typeof(DateTimeOffset))
            (schema.Type, schema.Format) = (JsonSchemaType.String, "date-time");
        if (type.Type == typeof(object))
            schema.Type = JsonSchemaType.Object;
        if (type.Type == typeof(JsonElement))
            (schema.Type, schema.Description) = (JsonSchemaType.Object, "An object of yours, of any shape.");
        if (type.Kind == JsonTypeInfoKind.Object && type.Properties.Count > 0)
        {
            var required = type.Properties.Where(IsRequired).Select(p => p.Name).ToHashSet();
            schema.Required = required.Count > 0 ? required : null;
        }

        return Task.CompletedTask;
    }

    /// <summary>Takes <c>null</c> out of the fields' types: it is never answered, and in requests means the same as absence.</summary>
    public static void WithoutNulls(OpenApiDocument document)
    {
        foreach (var schema in document.Components?.Schemas?.Values.OfType<OpenApiSchema>() ?? [])
        {
            foreach (var (name, property) in schema.Properties?.ToList() ?? [])
            {
                if (property is not OpenApiSchema own)
                    continue;
                own.Type &= ~JsonSchemaType.Null;
                if (own.OneOf is { Count: 2 } either && either.FirstOrDefault(s => s is OpenApiSchemaReference) is { } reference)
                    schema.Properties![name] = reference;
            }
        }
    }

    private static bool IsRequired(JsonPropertyInfo property) =>
        property.AttributeProvider?.IsDefined(typeof(RequiredAttribute), inherit: true) == true
        || (property.AssociatedParameter is not null && !property.IsGetNullable);
}
