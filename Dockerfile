# One image for every process: `chancery serve command|query|projectors|mailer|relay|risk`, and `chancery provision`.
# What is inside is requirements/image.txt and the packages of pyproject.toml; the local stack's programs are not.

FROM python:3.11.14-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
COPY requirements/image.txt /build/image.txt
RUN python -m venv /opt/chancery/venv \
 && /opt/chancery/venv/bin/python -m pip install --require-hashes --only-binary :all: -r /build/image.txt \
 && /opt/chancery/venv/bin/python -m pip uninstall --yes pip setuptools
COPY cli /opt/chancery/app/cli
COPY command_api /opt/chancery/app/command_api
COPY domain /opt/chancery/app/domain
COPY events /opt/chancery/app/events
COPY eventstore /opt/chancery/app/eventstore
COPY localstack /opt/chancery/app/localstack
COPY projectors /opt/chancery/app/projectors
COPY query_api /opt/chancery/app/query_api
COPY readmodels /opt/chancery/app/readmodels
COPY replay /opt/chancery/app/replay
COPY runtime /opt/chancery/app/runtime
COPY LICENSE /opt/chancery/LICENSE
# As localstack/bootstrap.py does it: a path for Python, and a script that puts no folder of the caller before it.
# Bytecode is made here, because nothing can be written later.
RUN echo /opt/chancery/app > /opt/chancery/venv/lib/python3.11/site-packages/chancery.pth \
 && printf '#!/bin/sh\nexec /opt/chancery/venv/bin/python -P -m cli.main "$@"\n' > /opt/chancery/venv/bin/chancery \
 && chmod 0755 /opt/chancery/venv/bin/chancery \
 && /opt/chancery/venv/bin/python -m compileall -q /opt/chancery/app

FROM python:3.11.14-slim-trixie
LABEL org.opencontainers.image.title="chancery" \
      org.opencontainers.image.description="An identity platform whose only truth is a chained log of events in Apache Kafka." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
# The two folders are for docker-compose.yml, whose volumes take their owner from here.
RUN install --directory --owner 10001 --group 10001 --mode 0700 /var/lib/chancery \
 && install --directory --owner 10001 --group 10001 --mode 0755 /var/lib/chancery-postgres
COPY --from=build /opt/chancery /opt/chancery
ENV PATH=/opt/chancery/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    CHANCERY_BIND_HOST=0.0.0.0
WORKDIR /tmp
USER 10001:10001
EXPOSE 8081 8082 8083 8084 8085 8086 8087
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["python", "-P", "-m", "cli.healthcheck", "live"]
ENTRYPOINT ["chancery"]
CMD ["--help"]
