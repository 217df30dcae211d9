# Grades the hand-ins of a class: docs/teaching.md has the line that runs it, and what it protects.
FROM python:3.12-slim
COPY . /project
RUN pip install --no-cache-dir "/project[notebooks,test]" && rm -rf /project
ENV MPLBACKEND=agg OPENBLAS_NUM_THREADS=1
WORKDIR /tmp
ENTRYPOINT ["python", "-m", "yashe.checks", "grade", "/hand-ins", "--user", "nobody", "--out", "-"]
