"""What shap and lime do on tables: reading models out, asking them, drawing neighbours, fitting."""
