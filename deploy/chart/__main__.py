"""`python -m deploy.chart`: writes the chart's templates anew from the manifests."""

from deploy.chart.files import CHART, made

if __name__ == "__main__":
    for name, text in made().items():
        (CHART / name).write_text(text)
        print(f"wrote {name}")
